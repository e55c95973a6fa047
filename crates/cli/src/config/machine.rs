//! Who and where we are: the machine's name and the user's, for people to read.

/// The machine's name.
pub fn host() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let read = files.into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    read.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// The user of this shell.
#[expect(clippy::disallowed_methods, reason = "this folder is the one that looks at the environment")]
pub fn user() -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "operator".to_owned())
}

/// Whether the user asked for text without colours (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "this folder is the one that looks at the environment")]
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
