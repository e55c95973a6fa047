//! What is measured of the queue, case by case.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::case::Case;
use super::lovage::{Lovage, Shape};
use super::measures as m;
use super::peers::Peer;
use super::program::{Program, Watch, call, count, number, pass};
use super::redis::{Numbers, Redis};
use super::samples::{LOVAGE, Samples};

/// Jobs of which the memory of a waiting one is taken.
const WAITING_PER: u64 = 2;
/// How long an idle worker is watched.
const IDLE: Duration = Duration::from_secs(20);

fn case<'a>(name: &str, measure: impl Fn(&mut Samples) -> Result<()> + 'a) -> Case<'a> {
    Case::new(name, LOVAGE, measure)
}

/// Our cases.
pub fn ours(lovage: &Lovage, jobs: u64) -> Vec<Case<'_>> {
    let plain = Shape::plain(jobs);
    let rate = |name: &'static str, measure, shape: Shape| {
        case(name, move |samples: &mut Samples| {
            samples.add(measure, LOVAGE, lovage.fill_and_drain(&shape)?);
            Ok(())
        })
    };
    let backlog = |jobs, most| Shape { most: Some(most), ..Shape::plain(jobs) };
    vec![
        case("drain", move |samples| drain(lovage, &plain, samples)),
        rate("slots", m::DRAIN_50, Shape { slots: 50, ..plain }),
        case("loops", move |samples| loops(lovage, &plain, samples)),
        case("sqlite", move |samples| sqlite(lovage, &plain, samples)),
        case("single", move |samples| {
            let redis = Redis::start()?;
            let jobs = jobs / 10;
            let result = call(lovage.verb("single", &redis.url(), &[("jobs", jobs)]))?;
            samples.add(m::SINGLE, LOVAGE, jobs as f64 / number(&result, "seconds")?);
            Ok(())
        }),
        case("start", move |samples| start(lovage, jobs / 200, samples)),
        case("delayed", move |samples| delayed(lovage, jobs / 400, samples)),
        case("waiting", move |samples| {
            let fill = |url: &str| lovage.fill(url, &Shape::plain(jobs / WAITING_PER));
            samples.add(m::WAITING, LOVAGE, waiting(jobs / WAITING_PER, fill)?);
            Ok(())
        }),
        case("idle", move |samples| idle(lovage, samples)),
        case("network", move |samples| network(lovage, &plain, samples)),
        case("killed", move |samples| killed(lovage, samples)),
        case("kept", move |samples| kept(lovage, &Shape::plain(jobs * 5), samples)),
        case("backlog-small", move |samples| small_backlog(lovage, &Shape::plain(jobs / 20), samples)),
        rate("backlog-large", m::BACKLOG_LARGE, backlog(jobs * 5, jobs)),
        rate("backlog-huge", m::BACKLOG_HUGE, backlog(jobs * 25, jobs)),
        rate("processes-2", m::PROCESSES_2, Shape { processes: 2, ..plain }),
        rate("processes-4", m::PROCESSES_4, Shape { processes: 4, ..plain }),
        rate("queues-10", m::QUEUES_10, Shape { queues: 10, ..plain }),
        rate("queues-100", m::QUEUES_100, Shape { queues: 100, ..plain }),
        rate("tenants-1", m::TENANTS_1, Shape { tenants: 1, ..plain }),
        rate("tenants-10000", m::TENANTS, Shape { tenants: 10_000, ..plain }),
    ]
}

/// What the peers are measured in.
pub fn theirs(peer: &Peer, jobs: u64) -> Vec<Case<'_>> {
    let name = peer.name;
    let share = peer.share(jobs);
    let mut cases = vec![
        Case::new("drain", name, move |samples: &mut Samples| {
            let mut redis = Redis::start()?;
            let bulk = peer.fill(&redis.url(), share)?;
            let before = redis.numbers()?;
            let result = peer.call("drain", &redis.url(), share)?;
            let counts = (count(&result, "ran")?, count(&result, "twice")?, count(&result, "left")?);
            ensure!(counts == (share, 0, 0), "{name}: of {share} jobs (ran, ran twice, left) are {counts:?}");
            samples.add(m::BULK, name, bulk);
            samples.add(m::DRAIN, name, number(&result, "rate")?);
            samples.add(m::DRAIN_CPU, name, number(&result, "cpu_seconds")? * 10_000.0 / share as f64);
            add_redis(samples, name, share, &before, &redis.numbers()?);
            Ok(())
        }),
        Case::new("single", name, move |samples: &mut Samples| {
            let redis = Redis::start()?;
            let result = peer.call("single", &redis.url(), share / 5)?;
            samples.add(m::SINGLE, name, (share / 5) as f64 / number(&result, "seconds")?);
            Ok(())
        }),
        Case::new("waiting", name, move |samples: &mut Samples| {
            samples.add(m::WAITING, name, waiting(share, |url| peer.fill(url, share))?);
            Ok(())
        }),
    ];
    if peer.is_woken() {
        cases.push(Case::new("start", name, move |samples: &mut Samples| {
            let redis = Redis::start()?;
            let result = peer.call("latency", &redis.url(), jobs / 200)?;
            samples.add(m::START_50, name, number(&result, "p50_ms")?);
            samples.add(m::START_99, name, number(&result, "p99_ms")?);
            Ok(())
        }));
    }
    cases
}

fn drain(lovage: &Lovage, shape: &Shape, samples: &mut Samples) -> Result<()> {
    let mut redis = Redis::start()?;
    samples.add(m::BULK, LOVAGE, lovage.fill(&redis.url(), shape)?);
    let before = redis.numbers()?;
    let drained = lovage.drain(&redis.url(), shape, &[])?;
    let after = redis.numbers()?;
    samples.add(m::DRAIN, LOVAGE, drained.rate);
    samples.add(m::DRAIN_CPU, LOVAGE, drained.cpu_seconds * 10_000.0 / shape.jobs as f64);
    add_redis(samples, LOVAGE, shape.jobs, &before, &after);
    let jobs = shape.jobs as f64;
    samples.add(m::DRAIN_SCRIPTS, LOVAGE, (after.calls().1 - before.calls().1) * 1_000.0 / jobs);
    samples.add(m::DRAIN_MICROS, LOVAGE, (after.script_micros() - before.script_micros()) / jobs);
    Ok(())
}

fn add_redis(samples: &mut Samples, subject: &'static str, jobs: u64, before: &Numbers, after: &Numbers) {
    let jobs = jobs as f64;
    samples.add(m::DRAIN_REDIS, subject, (after.cpu_seconds() - before.cpu_seconds()) * 10_000.0 / jobs);
    samples.add(m::DRAIN_CALLS, subject, (after.calls().0 - before.calls().0) * 1_000.0 / jobs);
}

fn loops(lovage: &Lovage, shape: &Shape, samples: &mut Samples) -> Result<()> {
    let redis = Redis::start()?;
    lovage.fill(&redis.url(), shape)?;
    let mut program = Program::start(lovage.verb("loops", &redis.url(), &[]))?;
    program.wait_for("ready")?;
    program.go()?;
    let result = program.result()?;
    ensure!(count(&result, "ran")? == shape.jobs, "the loops did not have all jobs: {result}");
    samples.add(m::LOOPS, LOVAGE, shape.jobs as f64 / number(&result, "seconds")?);
    Ok(())
}

fn sqlite(lovage: &Lovage, shape: &Shape, samples: &mut Samples) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("lovage-bench-sqlite-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let store = format!("sqlite:{}", folder.join("lovage.db").display());
    let drained = lovage.fill(&store, shape).and_then(|_| lovage.drain(&store, shape, &[]));
    std::fs::remove_dir_all(&folder)?;
    samples.add(m::SQLITE, LOVAGE, drained?.rate);
    Ok(())
}

fn start(lovage: &Lovage, jobs: u64, samples: &mut Samples) -> Result<()> {
    let redis = Redis::start()?;
    let result = call(lovage.verb("latency", &redis.url(), &[("jobs", jobs)]))?;
    samples.add(m::START_50, LOVAGE, number(&result, "p50_ms")?);
    samples.add(m::START_99, LOVAGE, number(&result, "p99_ms")?);
    Ok(())
}

fn delayed(lovage: &Lovage, jobs: u64, samples: &mut Samples) -> Result<()> {
    let redis = Redis::start()?;
    let result = call(lovage.verb("delayed", &redis.url(), &[("jobs", jobs)]))?;
    samples.add(m::LATE_50, LOVAGE, number(&result, "p50_ms")?);
    samples.add(m::LATE_99, LOVAGE, number(&result, "p99_ms")?);
    samples.add(m::LATE_LEAST, LOVAGE, number(&result, "earliest_ms")?);
    Ok(())
}

/// Bytes that Redis uses more with so many jobs waiting, for each of them.
fn waiting(jobs: u64, fill: impl Fn(&str) -> Result<f64>) -> Result<f64> {
    let mut redis = Redis::start()?;
    let before = redis.memory()?;
    fill(&redis.url())?;
    Ok((redis.memory()? - before) / jobs as f64)
}

fn idle(lovage: &Lovage, samples: &mut Samples) -> Result<()> {
    let mut redis = Redis::start()?;
    let mut program = Program::start(lovage.verb("idle", &redis.url(), &[]))?;
    program.wait_for("ready")?;
    // Let it come up: connections, threads, the first look at its queue.
    pass(Duration::from_secs(2));
    let (calls, (_, cpu)) = (redis.numbers()?.of("total_commands_processed"), program.usage()?);
    pass(IDLE);
    let (memory, used) = program.usage()?;
    samples.add(m::IDLE_MEMORY, LOVAGE, memory);
    samples.add(m::IDLE_CPU, LOVAGE, (used - cpu) * 100.0 / IDLE.as_secs_f64());
    let calls = redis.numbers()?.of("total_commands_processed") - calls;
    samples.add(m::IDLE_CALLS, LOVAGE, calls / IDLE.as_secs_f64());
    program.go()?;
    program.result()?;
    Ok(())
}

fn network(lovage: &Lovage, shape: &Shape, samples: &mut Samples) -> Result<()> {
    let redis = Redis::start()?;
    lovage.fill(&redis.url(), shape)?;
    let mut proxy = lovage.verb("proxy", "", &[("delay_us", 2_000)]);
    proxy.arg(format!("target={}", redis.address()));
    let mut proxy = Program::start(proxy)?;
    let address = proxy.said()?;
    samples.add(m::NETWORK, LOVAGE, lovage.drain(&format!("redis://{address}"), shape, &[])?.rate);
    proxy.kill()
}

/// Kills the worker that runs all jobs, while another one waits; seconds until that one has done them all.
fn killed(lovage: &Lovage, samples: &mut Samples) -> Result<()> {
    const JOBS: u64 = 100;
    let redis = Redis::start()?;
    lovage.fill(&redis.url(), &Shape::plain(JOBS))?;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let mut program = Program::start(lovage.verb("nap", &redis.url(), &[("jobs", JOBS), ("slots", JOBS)]))?;
        program.wait_for("ready")?;
        workers.push(program);
    }
    workers[0].go()?;
    workers[0].wait_for("begun")?;
    workers[1].go()?;
    let watch = Watch::start();
    workers.remove(0).kill()?;
    let result = workers.remove(0).result()?;
    ensure!(count(&result, "acked")? == JOBS, "not all jobs were done after the kill: {result}");
    samples.add(m::KILLED, LOVAGE, watch.seconds());
    Ok(())
}

/// Drains twice as much as stays; the first half fills what is capped by number, the second must leave nothing.
fn kept(lovage: &Lovage, shape: &Shape, samples: &mut Samples) -> Result<()> {
    const KEPT: (&str, u64) = ("kept_ms", 1_000);
    let mut redis = Redis::start()?;
    let mut memory = Vec::new();
    for _ in 0..2 {
        lovage.fill(&redis.url(), shape)?;
        lovage.drain(&redis.url(), shape, &[KEPT])?;
        pass(Duration::from_secs(2));
        call(lovage.verb("sweep", &redis.url(), &[KEPT]))?;
        memory.push(redis.memory()?);
    }
    samples.add(m::KEPT, LOVAGE, memory[1] * 100.0 / memory[0]);
    let lasting = redis.lasting_keys()?;
    let odd: Vec<&String> = lasting.iter().filter(|key| !is_allowed(key)).collect();
    if !odd.is_empty() {
        println!("keys without a time to live: {odd:?}");
    }
    samples.add(m::LASTING, LOVAGE, odd.len() as f64);
    Ok(())
}

/// What ADR 006 lets stay: what a queue is, bounded by its jobs or by a cap, and four names beside the queues.
fn is_allowed(key: &str) -> bool {
    const PARTS: [&str; 4] = ["meta", "events", "wake", "completed"];
    let queue = key.strip_prefix("lovage:{bench0}:").is_some_and(|part| PARTS.contains(&part));
    queue || ["lovage:{.format}", "lovage:{.queues}", "lovage:{.workers}:said", "lovage:{.workers}:seen"].contains(&key)
}

/// A small backlog is drained in an instant, so ten of them are, one after the other; the middle one counts.
fn small_backlog(lovage: &Lovage, shape: &Shape, samples: &mut Samples) -> Result<()> {
    let redis = Redis::start()?;
    let mut rates = Vec::new();
    for _ in 0..9 {
        lovage.fill(&redis.url(), shape)?;
        rates.push(lovage.drain(&redis.url(), shape, &[])?.rate);
    }
    rates.sort_by(f64::total_cmp);
    samples.add(m::BACKLOG_SMALL, LOVAGE, rates[rates.len() / 2]);
    Ok(())
}
