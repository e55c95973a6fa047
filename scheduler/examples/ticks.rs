//! How long after its instant a tick's job is in its queue, with many schedules of which some are due each second.
//!
//! ```text
//! ticks load SCHEDULES DUE LEDGER_URL        makes schedules, DUE of which run each second, the others once a year
//! ticks run SECONDS REDIS_URL LEDGER_URL     leads for so long and prints a line of JSON
//! ```

#![expect(clippy::print_stdout, reason = "the line is what it is for")]

use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Connect, ListQuery, Reader as _, RedisBroker, RedisConfig, SystemClock};
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{Clock as _, State};
use lovage_ledger::{Change, Ledger, LedgerAddress, migrate};
use lovage_scheduler::{Cron, Deadlines, Duty as _, Metrics, first_tick, prometheus, zone};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["load", schedules, due, ledger] => load(schedules.parse()?, due.parse()?, ledger).await,
        ["run", seconds, redis, ledger] => run(seconds.parse()?, redis, ledger).await,
        _ => Err("use: ticks load SCHEDULES DUE LEDGER_URL | ticks run SECONDS REDIS_URL LEDGER_URL".into()),
    }
}

async fn open(url: &str) -> Outcome<Ledger> {
    let address: LedgerAddress = url.parse()?;
    migrate(&address).await?;
    Ok(Ledger::open(&address).await?)
}

async fn load(schedules: usize, due: usize, url: &str) -> Outcome {
    let ledger = open(url).await?;
    let mut specs = Vec::with_capacity(schedules);
    for number in 0..schedules {
        let cron = if number < due {
            "* * * * * *".to_owned()
        } else {
            format!("{} {} {} {} *", number % 60, number % 24, 1 + number % 28, 1 + number % 12)
        };
        let json = format!(
            r#"{{"name": "schedule-{number}", "cron": "{cron}", "timezone": "Europe/Berlin", "queue": "q{}", "kind": "debug.noop",
                "args": {{"day": "{{{{ tick.date }}}}", "number": {number}}}, "success_within": "26h"}}"#,
            number % 4,
        );
        specs.push(ScheduleSpec::parse(&json, zone)?);
    }
    // Operators' ones: those of a configuration would go with the first leader who has another.
    ledger
        .put_schedules(
            Change { specs: &specs, replace: true, revision: None, remove: &[], rehearse: false },
            first_tick,
        )
        .await?;
    Ok(())
}

async fn run(seconds: u64, redis: &str, url: &str) -> Outcome {
    let ledger = open(url).await?;
    let config = RedisConfig { url: redis.to_owned(), ..RedisConfig::default() };
    let reader = RedisBroker::connect(config.clone()).await?;
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(RedisBroker::connect(config).await?) as Arc<dyn Broker>) })
    });
    let metrics = Metrics::new(&prometheus::Registry::new(), Arc::new(SystemClock))?;
    let deadlines = Deadlines::new(ledger.clone(), metrics.clone());
    let cron = Cron::new(connect, ledger.clone(), metrics, None);
    let term = ledger.begin_term().await?;
    // The first look plans all schedules that are new.
    while cron.tick(term).await?.more {}
    // Beside it the other duty over the same tables.
    let watching = tokio::spawn(async move {
        loop {
            let Ok(wait) = deadlines.run_once(term).await else { return };
            // bounded wait: until the duty is to be done again
            tokio::time::sleep(wait).await;
        }
    });
    let began = SystemClock.now();
    while SystemClock.now().since(began) < Duration::from_secs(seconds) {
        cron.run_once(term).await?;
    }
    watching.abort();
    let mut late: Vec<u64> = Vec::new();
    for queue in 0..4 {
        let mut query =
            ListQuery { queue: format!("q{queue}").parse()?, state: State::Available, limit: 500, cursor: None };
        loop {
            let page = reader.list(&query).await?;
            for job in page.jobs {
                let tick: u64 = job.id.as_str().rsplit(':').next().unwrap_or_default().parse()?;
                if tick > began.as_millis() {
                    late.push(job.enqueued_at.as_millis().saturating_sub(tick));
                }
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
    }
    late.sort_unstable();
    let at =
        |part: usize| late.get((late.len() * part / 1_000).min(late.len().saturating_sub(1))).copied().unwrap_or(0);
    println!(
        r#"{{"jobs": {}, "p50_ms": {}, "p99_ms": {}, "max_ms": {}, "peak_mib": {}}}"#,
        late.len(),
        at(500),
        at(990),
        late.last().copied().unwrap_or(0),
        peak()?
    );
    Ok(())
}

/// The most memory that this process has had, in MiB.
fn peak() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
}
