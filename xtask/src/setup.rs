//! What the tests need besides Rust: a Redis server, PostgreSQL and an S3 server, each run privately by the tests on a
//! loopback port, a library that gives a process a wrong clock, and readers of the files that we write. As root on Debian
//! and its kin what is missing gets installed; elsewhere this says what to install.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::step::{self, program, succeeds};

/// A program that tests start, how to see that it is there, and the Debian package that has it.
struct Need {
    name: &'static str,
    present: fn() -> bool,
    package: &'static str,
}

const NEEDS: [Need; 7] = [
    Need { name: "redis-server 7.0 or later", present: has_redis, package: "redis-server" },
    Need { name: "PostgreSQL 15 or later", present: has_postgres, package: "postgresql" },
    Need { name: "python3 with venv and pip", present: has_python, package: "python3-venv" },
    Need { name: "libfaketime", present: has_faketime, package: "faketime" },
    Need { name: "the sqlite3 program", present: has_sqlite, package: "sqlite3" },
    Need { name: "promtool of Prometheus 2.42 or later", present: has_promtool, package: "prometheus" },
    Need { name: "the openssl program", present: has_openssl, package: "openssl" },
];

/// Checks all needs, installs what can be installed, and fails with the list of what cannot.
pub fn run() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    python_packages()?;
    println!("setup: everything that the tests start is there");
    Ok(())
}

fn install(missing: &[&Need]) -> Result<()> {
    let names: Vec<&str> = missing.iter().map(|need| need.name).collect();
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let may_install = is_root() && Path::new("/etc/debian_version").exists();
    let (names, packages_line) = (names.join(", "), packages.join(" "));
    ensure!(may_install, "the tests need {names}; on Debian and Ubuntu: sudo apt-get install {packages_line}");
    let apt = |arguments: &[&str]| step::run(program("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat())?;
    let still: Vec<&str> = missing.iter().filter(|need| !(need.present)()).map(|need| need.name).collect();
    ensure!(still.is_empty(), "installed {packages_line}, and {} is still not found", still.join(", "));
    Ok(())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn has_redis() -> bool {
    succeeds(&mut program("redis-server", &["--version"]))
}

fn has_postgres() -> bool {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders = debian.map(|entry| entry.path().join("bin/initdb"));
    folders.any(|initdb| initdb.exists()) || succeeds(&mut program("initdb", &["--version"]))
}

fn has_sqlite() -> bool {
    succeeds(&mut program("sqlite3", &["--version"]))
}

fn has_promtool() -> bool {
    succeeds(&mut program("promtool", &["--version"]))
}

fn has_openssl() -> bool {
    succeeds(&mut program("openssl", &["version"]))
}

fn has_python() -> bool {
    succeeds(&mut program("python3", &["-c", "import ensurepip, venv"]))
}

/// The fault tests look in the same places.
fn has_faketime() -> bool {
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders = multiarch.chain([Path::new("/usr/lib").to_owned()]);
    folders.any(|folder| folder.join("faketime/libfaketime.so.1").exists())
}

/// The test kit knows which packages it needs, the S3 server among them, and where it keeps them.
fn python_packages() -> Result<()> {
    step::run(&mut step::cargo(&["run", "--quiet", "--locked", "--package", "lovage-testkit", "--example", "prepare"]))
}
