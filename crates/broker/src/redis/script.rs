//! The Lua scripts: each is a few preludes and a body, sent by hash and in full when Redis does not have it.

use std::sync::LazyLock;

use redis::Cmd;

use super::node::Lane;

/// A script and its hash.
#[derive(Debug)]
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// The command that runs it by its hash.
    pub(super) fn by_hash(&self) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash);
        cmd
    }

    /// The command that runs it in full and leaves it in Redis' cache.
    pub(super) fn in_full(&self) -> Cmd {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(self.source);
        cmd
    }

    /// The command that only puts it into Redis' cache.
    pub(super) fn load(&self) -> Cmd {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(self.source);
        cmd
    }

    /// The connection that it takes.
    pub(super) fn lane(&self) -> Lane {
        if [&*CLAIM, &*SWEEP].iter().any(|script| script.hash == self.hash) { Lane::Claims } else { Lane::Rest }
    }

    /// Its hash, as Redis names it.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)+) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $file, ".lua"))),+)));)+
        /// Hashes of all scripts.
        pub(super) fn hashes() -> Vec<&'static str> {
            vec![$($name.hash()),+]
        }
    };
}

scripts! {
    ENQUEUE = "base" "hold" "events" "batch" "limits" "gates" "slots" "job" "moves" "keys" "depth" "join" "enqueue";
    CLAIM = "base" "hold" "events" "prune" "pace" "usual" "limits" "gates" "slots" "job" "breakers" "moves" "due" "slices" "lane" "grant" "take"
        "ages" "give" "turns" "round" "choose" "unpark" "reopen" "again" "claim";
    RENEW = "base" "hold" "events" "job" "held" "renew";
    FINISH = "base" "hold" "events" "plain" "limits" "gates" "slots" "job" "breakers" "moves" "held" "settle" "finish";
    REPORT = "base" "hold" "events" "job" "held" "report";
    SWEEP = "base" "hold" "events" "limits" "gates" "slots" "job" "breakers" "moves" "due" "slices" "prune" "unpark" "reopen" "sweep";
    OPERATE = "base" "hold" "events" "limits" "gates" "slots" "job" "moves" "act" "operate";
    BULK = "base" "hold" "events" "limits" "gates" "slots" "job" "moves" "act" "bulk";
    EDIT = "base" "hold" "events" "job" "edit";
    SUBJECT = "base" "hold" "events" "limits" "gates" "slots" "job" "breakers" "subject";
    LOOK = "base" "job" "facts" "look";
    LIST = "base" "job" "facts" "list";
    LINE = "base" "job" "facts" "lane" "line";
    STATS = "base" "job" "prune" "lane" "stats";
    FLOW = "base" "job" "prune" "flow";
    HISTORY = "base" "past" "history";
    RECORDED = "base" "past" "recorded";
    WORKER = "worker";
    LEAD = "lead";
}
