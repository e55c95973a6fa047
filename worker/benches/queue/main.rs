//! The Lovage side of `cargo xtask bench queue`: one verb a run, its result as a line of JSON on standard output.
//!
//! `cargo xtask bench queue` starts the servers, calls this program and the peers' programs in turn, and makes the table;
//! `docs/benchmarks.md` says how everything is counted. By hand: `queue drain store=redis://127.0.0.1:6379 jobs=1000`.

#![expect(clippy::print_stdout, reason = "its result goes to standard output")]

mod drain;
mod fill;
mod idle;
mod loops;
mod options;
mod process;
mod timing;

use std::error::Error;

use options::Options;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const VERBS: &str = "fill, single, drain, loops, latency, delayed, idle, nap, sweep, proxy";

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo bench` adds this to the arguments of every benchmark.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let Some((verb, pairs)) = words.split_first() else {
        println!("one side of `cargo xtask bench queue`; verbs: {VERBS}");
        return Ok(());
    };
    let options = Options::read(pairs)?;
    let result = match verb.as_str() {
        "fill" => fill::bulk(&options).await?,
        "single" => fill::single(&options).await?,
        "drain" => drain::drain(&options).await?,
        "loops" => loops::drain(&options).await?,
        "latency" => timing::latency(&options).await?,
        "delayed" => timing::delayed(&options).await?,
        "idle" => idle::idle(&options).await?,
        "nap" => idle::nap(&options).await?,
        "sweep" => idle::sweep(&options).await?,
        "proxy" => idle::proxy(&options).await?,
        other => return Err(format!("verb is {other}; use one of {VERBS}").into()),
    };
    println!("{result}");
    Ok(())
}
