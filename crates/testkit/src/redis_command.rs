//! A plain connection to a Redis server: enough to set one up and to look at it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// Several.
    List(Vec<Reply>),
}

impl Reply {
    /// The text; empty if it is none.
    #[must_use]
    pub fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    /// The texts of a list; empty if it is none.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        if let Self::List(items) = self { items.iter().map(Self::text).collect() } else { Vec::new() }
    }
}

/// Sends one command to a server of this machine. An error of Redis or of the connection is its text.
///
/// # Errors
/// The text of what went wrong.
pub(crate) fn command(port: u16, words: &[&str]) -> Result<Reply, String> {
    let mut connection = open(port).map_err(|error| error.to_string())?;
    connection.get_mut().write_all(&packed(words)).map_err(|error| error.to_string())?;
    read(&mut connection)
}

pub(crate) fn open(port: u16) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// A command as it goes over the wire.
pub(crate) fn packed(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn read(from: &mut BufReader<TcpStream>) -> Result<Reply, String> {
    let mut line = String::new();
    from.read_line(&mut line).map_err(|error| error.to_string())?;
    let (sort, rest) = line.trim_end().split_at_checked(1).ok_or("the connection was closed")?;
    let number = || rest.parse::<i64>().map_err(|error| error.to_string());
    match sort {
        "+" => Ok(Reply::Text(rest.to_owned())),
        "-" => Err(rest.to_owned()),
        ":" => Ok(Reply::Number(number()?)),
        "$" => {
            let Ok(length) = usize::try_from(number()?) else { return Ok(Reply::Nil) };
            let mut bytes = vec![0; length + 2];
            from.read_exact(&mut bytes).map_err(|error| error.to_string())?;
            Ok(Reply::Text(String::from_utf8_lossy(&bytes[..length]).into_owned()))
        }
        "*" => {
            let Ok(length) = usize::try_from(number()?) else { return Ok(Reply::Nil) };
            (0..length).map(|_| read(from)).collect::<Result<_, _>>().map(Reply::List)
        }
        other => Err(format!("an answer that begins with {other:?}")),
    }
}
