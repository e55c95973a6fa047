//! Installs what the test kit installs by itself on first use. `cargo xtask setup` runs it, so that no test has to wait.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

fn main() {
    println!("S3 server and readers of files for tests: {}", lovage_testkit::s3::ensure_installed().display());
}
