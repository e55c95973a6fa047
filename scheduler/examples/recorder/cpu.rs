//! Processor time of programs, found by the port on which they listen, from `/proc`.

use std::fs;

/// A process: its parent, and hundredths of a second of its own and of the children that it has waited for.
struct Times {
    parent: u32,
    own: u64,
    children: u64,
}

fn times(process: u32) -> Option<Times> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Times { parent: number(1)? as u32, own: number(11)? + number(12)?, children: number(13)? + number(14)? })
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process that listens on a port of this machine, the first of those that share the socket.
pub fn listening(port: u16) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    let socket = lines.map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|fields| {
        let is_it = fields.get(1)?.ends_with(&format!(":{port:04X}")) && *fields.get(3)? == "0A";
        is_it.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
    })?;
    let has_it = |process: &u32| {
        let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link.to_string_lossy() == socket)
    };
    let mut found: Vec<u32> = processes().filter(has_it).collect();
    found.sort_unstable();
    found.first().copied()
}

/// Seconds of processor time of a process, of its children, and of those that have ended.
pub fn seconds(process: u32) -> f64 {
    let own = times(process).map_or(0, |times| times.own + times.children);
    let children = processes().filter_map(times).filter(|times| times.parent == process).map(|times| times.own);
    (own + children.sum::<u64>()) as f64 / 100.0
}
