//! Help, completion, the reference, and a reader that goes away.

use std::process::Stdio;

use crate::place::Place;

#[test]
fn the_help_names_every_command_once() {
    insta::assert_snapshot!(Place::new().run(&["--help"]).ok().out);
}

#[test]
fn the_help_of_enqueue_names_every_option() {
    insta::assert_snapshot!(Place::new().run(&["job", "enqueue", "-h"]).ok().out);
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(Place::new().run(&["--version"]).ok().out, concat!("lovage ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let out = Place::new().run(&["completion", shell]).ok().out;
        assert!(out.contains("enqueue"), "{shell}");
    }
}

#[test]
fn the_reference_is_the_same_in_any_place() {
    let (first, second) = (Place::new(), Place::new());
    second.file("lovage.toml", "concurrency = 3\n");
    let page = first.run(&["reference"]).ok().out;
    assert_eq!(page, second.run_with(&[("LOVAGE_CONCURRENCY", "7")], &["reference"]).ok().out);
    for part in ["`lovage queue purge`", "LOVAGE_SHUTDOWN_TIMEOUT_SECONDS", "sources.NAME.url", "| 124 |"] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    let mut child =
        place.command(&["reference"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("the binary ends");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert!(ended.status.success(), "{}", ended.status);
}
