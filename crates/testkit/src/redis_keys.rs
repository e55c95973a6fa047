//! Watches which keys are used: a script may touch only the keys that it was given, and they must be in one slot. A
//! server of its own would let anything pass; only some wrong keys fail on a cluster, and those only by bad luck.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread::JoinHandle;

use crate::redis_command::{command, open, packed};

/// Said to the server when the watch is over.
const OVER: &str = "the watch is over";
/// Commands that scripts use whose first argument is their only key.
const ONE_KEY: &str = "GET SET INCR INCRBY EXPIRE PEXPIRE PEXPIREAT PTTL TTL TYPE PERSIST APPEND STRLEN \
    HGET HSET HSETNX HDEL HMGET HGETALL HEXISTS HLEN HINCRBY HINCRBYFLOAT HKEYS HVALS HSCAN HSTRLEN HRANDFIELD \
    ZADD ZREM ZCARD ZCOUNT ZSCORE ZMSCORE ZRANK ZREVRANK ZRANGE ZRANGEBYSCORE ZRANGEBYLEX ZREVRANGE ZREVRANGEBYSCORE ZINCRBY \
    ZPOPMIN ZPOPMAX ZREMRANGEBYSCORE ZREMRANGEBYRANK ZREMRANGEBYLEX ZSCAN ZLEXCOUNT \
    LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LRANGE LTRIM LLEN LINDEX LSET LREM LINSERT LPOS \
    SADD SREM SCARD SISMEMBER SMISMEMBER SMEMBERS SPOP SRANDMEMBER SSCAN \
    XADD XRANGE XREVRANGE XTRIM XLEN XDEL";
/// Commands all of whose arguments are keys.
const ALL_KEYS: &str = "DEL UNLINK EXISTS TOUCH";
/// Commands without a key.
const NO_KEY: &str = "TIME PING ECHO";

/// A watch on a server. When it is dropped, it fails the test if a script used a key that it was not given, or was
/// given keys of different slots.
#[derive(Debug)]
pub struct KeyWatch {
    port: u16,
    watching: Option<JoinHandle<BTreeSet<String>>>,
}

impl KeyWatch {
    pub(crate) fn start(port: u16) -> Self {
        let mut connection = open(port).expect("the server is there");
        connection.get_mut().write_all(&packed(&["MONITOR"])).expect("the server listens");
        let mut line = String::new();
        connection.read_line(&mut line).expect("the server answers");
        assert_eq!(line.trim(), "+OK", "MONITOR");
        Self { port, watching: Some(std::thread::spawn(move || watch(connection))) }
    }
}

impl Drop for KeyWatch {
    fn drop(&mut self) {
        let said = command(self.port, &["ECHO", OVER]);
        let Some(watching) = self.watching.take() else { return };
        if std::thread::panicking() {
            return;
        }
        said.expect("the server still runs");
        let wrong = watching.join().expect("the watch sees its end");
        assert!(wrong.is_empty(), "keys that a cluster would not allow:\n{wrong:#?}");
    }
}

fn watch(connection: BufReader<TcpStream>) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    let mut given = HashSet::new();
    for line in connection.split(b'\n') {
        let line = line.expect("the server shows what it does until the end");
        let line = String::from_utf8_lossy(&line);
        let Some((who, rest)) = line.split_once("] ") else { continue };
        let words = words(rest);
        let Some(command) = words.first().map(|word| word.to_uppercase()) else { continue };
        if command == "ECHO" && words.get(1).is_some_and(|word| word == OVER) {
            return wrong;
        }
        if who.ends_with(" lua") {
            match keys(&command, &words[1..]) {
                Some(used) => wrong.extend(
                    used.iter().filter(|key| !given.contains(*key)).map(|key| format!("{command} {key}: not given")),
                ),
                None => {
                    wrong.insert(format!("{command}: which of its arguments are keys? teach it to the watch"));
                }
            }
        } else if matches!(command.as_str(), "EVAL" | "EVALSHA") {
            let count = words.get(2).and_then(|count| count.parse().ok()).unwrap_or(0);
            given = words.into_iter().skip(3).take(count).collect();
            let tags: BTreeSet<_> = given.iter().map(|key| tag(key)).collect();
            if tags.len() != 1 || tags.contains(&None) {
                wrong.insert(format!("a script was given keys with the tags {tags:?}"));
            }
        }
    }
    panic!("the server dropped the watch before its end");
}

/// What stands in a key's first pair of braces: keys with the same are in one slot.
fn tag(key: &str) -> Option<&str> {
    let (tag, _) = key.split_once('{')?.1.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

fn keys<'a>(command: &str, arguments: &'a [String]) -> Option<&'a [String]> {
    let is_in = |list: &str| list.split_whitespace().any(|each| each == command);
    if is_in(ONE_KEY) {
        arguments.get(..1)
    } else if is_in(ALL_KEYS) {
        Some(arguments)
    } else {
        is_in(NO_KEY).then_some(&[])
    }
}

/// The quoted words of a line; of escaped bytes only the backslash matters here, keys have none.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (&mut word, letter) {
            (None, '"') => word = Some(String::new()),
            (None, _) => {}
            (Some(_), '"') => words.extend(word.take()),
            (Some(text), '\\') => text.extend(letters.next()),
            (Some(text), letter) => text.push(letter),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use crate::RedisServer;

    fn watched(script: &str, keys: &[&str]) -> std::thread::Result<()> {
        let server = RedisServer::start();
        let watch = server.watch_keys();
        let count = keys.len().to_string();
        server.command(&[&["EVAL", script, &count], keys].concat());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(watch)))
    }

    #[test]
    fn a_declared_key_passes() {
        watched("return redis.call('HSET', KEYS[1], 'a \"b\\\\', 1)", &["lovage:{q}:head"]).expect("nothing wrong");
    }

    #[test]
    fn row_15_an_undeclared_key_is_found() {
        watched("return redis.call('EXISTS', KEYS[1], 'lovage:{q}:more')", &["lovage:{q}:head"])
            .expect_err("not given");
    }

    #[test]
    fn row_15_keys_of_two_slots_are_found() {
        watched("return redis.call('TIME')", &["lovage:{q}:head", "lovage:{p}:head"]).expect_err("two slots");
        watched("return redis.call('TIME')", &["head"]).expect_err("no tag");
    }

    #[test]
    fn a_command_that_the_watch_does_not_know_is_told() {
        watched("return redis.call('OBJECT', 'FREQ', KEYS[1])", &["lovage:{q}:head"]).expect_err("unknown");
    }
}
