//! A private redis-server with its append-only file flushed every second, and the few questions that we ask it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// An answer of Redis.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Nothing,
    Text(String),
    Number(i64),
    List(Vec<Answer>),
}

/// A server of one run; it and its files are gone with its handle.
pub struct Redis {
    process: Child,
    folder: PathBuf,
    port: u16,
    connection: BufReader<TcpStream>,
}

impl Redis {
    /// Starts one on a free loopback port.
    pub fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("lovage-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--logfile", ""])
            .args(["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"])
            // When a rewrite of the file begins depends on all that was written before, and it takes a core for seconds:
            // larger cases would pay for it and smaller ones would not.
            .args(["--auto-aof-rewrite-percentage", "0", "--dir"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("redis-server does not start; `cargo xtask setup` installs it or says how")?;
        let output = process.stdout.take().context("redis-server has no output")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains("Ready to accept connections")) {
            let _ = process.kill();
            bail!("redis-server did not come up on port {port}");
        }
        // Read on, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let connection = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?);
        Ok(Self { process, folder, port, connection })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends one command.
    pub fn ask(&mut self, words: &[&str]) -> Result<Answer> {
        let parts = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let text = format!("*{}\r\n{}", words.len(), parts.collect::<String>());
        self.connection.get_mut().write_all(text.as_bytes())?;
        read(&mut self.connection)
    }

    /// Its numbers by name: memory, processor time, and per command how often and for how many microseconds it ran.
    pub fn numbers(&mut self) -> Result<Numbers> {
        match self.ask(&["INFO", "everything"])? {
            Answer::Text(text) => Ok(Numbers(lines(&text))),
            other => bail!("INFO answered {other:?}"),
        }
    }

    /// Bytes that it uses, once what was freed is given back.
    pub fn memory(&mut self) -> Result<f64> {
        self.ask(&["MEMORY", "PURGE"])?;
        Ok(self.numbers()?.of("used_memory"))
    }

    /// Names of all keys that have no time to live.
    pub fn lasting_keys(&mut self) -> Result<Vec<String>> {
        let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
        loop {
            let Answer::List(mut page) = self.ask(&["SCAN", &cursor, "COUNT", "1000"])? else { bail!("SCAN failed") };
            let (Some(Answer::List(keys)), Some(Answer::Text(next))) = (page.pop(), page.pop()) else {
                bail!("SCAN answered something else")
            };
            for key in keys {
                if let Answer::Text(key) = key
                    && self.ask(&["TTL", &key])? == Answer::Number(-1)
                {
                    found.push(key);
                }
            }
            if next == "0" {
                return Ok(found);
            }
            cursor = next;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What INFO says, by name.
#[derive(Debug, Clone)]
pub struct Numbers(BTreeMap<String, String>);

impl Numbers {
    /// The number called `name`; 0 if there is none.
    pub fn of(&self, name: &str) -> f64 {
        self.0.get(name).and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }

    /// Seconds of processor time in all threads.
    pub fn cpu_seconds(&self) -> f64 {
        self.of("used_cpu_user") + self.of("used_cpu_sys")
    }

    /// How often commands ran, those inside scripts included, and how often scripts did.
    pub fn calls(&self) -> (f64, f64) {
        let scripts = ["evalsha", "eval"].iter().map(|name| self.stat(name, "calls")).sum();
        let names = self.0.keys().filter_map(|name| name.strip_prefix("cmdstat_"));
        (names.map(|name| self.stat(name, "calls")).sum(), scripts)
    }

    /// Microseconds inside scripts.
    pub fn script_micros(&self) -> f64 {
        ["evalsha", "eval"].iter().map(|name| self.stat(name, "usec")).sum()
    }

    fn stat(&self, command: &str, part: &str) -> f64 {
        let stats = self.0.get(&format!("cmdstat_{command}")).map_or("", String::as_str);
        let value = stats.split(',').find_map(|pair| pair.strip_prefix(part)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }
}

fn lines(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name.into(), value.into())).collect()
}

fn read(from: &mut BufReader<TcpStream>) -> Result<Answer> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).context("redis closed the connection")?;
    Ok(match kind {
        "+" => Answer::Text(rest.to_owned()),
        ":" => Answer::Number(rest.parse()?),
        "$" => match usize::try_from(rest.parse::<i64>()?) {
            Err(_) => Answer::Nothing,
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Answer::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
        },
        "*" => Answer::List((0..rest.parse::<usize>()?).map(|_| read(from)).collect::<Result<_>>()?),
        _ => bail!("redis said {}", line.trim_end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_info_are_read() {
        let text = "# CPU\r\nused_cpu_user:1.5\r\nused_cpu_sys:0.25\r\ncmdstat_evalsha:calls=10,usec=700,usec_per_call=70.00\r\ncmdstat_hset:calls=30,usec=9\r\n";
        let numbers = Numbers(lines(text));
        assert!((numbers.cpu_seconds() - 1.75).abs() < 1e-9);
        assert_eq!(numbers.calls(), (40.0, 10.0));
        assert!((numbers.script_micros() - 700.0).abs() < 1e-9);
        assert!(numbers.of("nothing").abs() < 1e-9);
    }
}
