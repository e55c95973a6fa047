//! Named filters, each asked again and again.

use std::time::Duration;

use lovage_core::filter::Filter;
use lovage_core::{ErrorClass, Timestamp, fingerprint};
use lovage_ledger::{Found, Ledger, Search};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::jobs::{self, BEGIN, OLD_KIND, OLD_TAG, YEAR};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How often each page is asked for, after once that does not count.
const RUNS: usize = 20;
const LIMIT: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(5);

/// Names and filters over a history of `count` jobs.
pub fn filters(count: u64) -> Result<Vec<(&'static str, String)>, Failed> {
    let (kind, tenant, tag) = (jobs::kind, jobs::tenant, jobs::tag);
    let seldom = format!("tenant:{}", tenant(999));
    let (rare, common) = (kind(39), kind(0));
    let (group, _) = fingerprint(&common.parse()?, ErrorClass::Failed, &jobs::error(40, 1, 2));
    let day = |month: u64| BEGIN + month * 30 * 86_400_000;
    Ok(vec![
        ("everything", String::new()),
        ("a state, common", "state:completed".into()),
        ("a state, 3 %", "state:discarded".into()),
        ("a state, few and new", "state:available".into()),
        ("a state that no job has", "state:retryable".into()),
        ("a kind, 23 %", format!("kind:{common}")),
        ("a kind, 0.6 %", format!("kind:{rare}")),
        ("kinds by prefix", "kind:export.*".into()),
        ("kinds by prefix without a dot", "kind:expo*".into()),
        ("a queue", "queue:media".into()),
        ("a tenant, 12 %", format!("tenant:{}", tenant(0))),
        ("a tenant, 0.01 %", seldom.clone()),
        ("no tenant", "tenant:none".into()),
        ("a tag, common", format!("tag:{}", tag(0))),
        ("a tag, rare", format!("tag:{}", tag(29))),
        ("an id", format!("id:{}", jobs::id(count, count / 3))),
        ("an id that is not there", "id:nothing".into()),
        ("a word of an error", "error:deadlock".into()),
        ("words of an error", "error:\"connection refused\"".into()),
        ("a word of an error, rare", "error:4711".into()),
        ("a failure", format!("failure:{group}")),
        ("a worker of yesterday", format!("worker:{}", jobs::worker(BEGIN + YEAR - 86_400_000, 1))),
        ("a worker of last autumn", format!("worker:{}", jobs::worker(day(3), 1))),
        ("attempts, at least 3", "attempt:>=3".into()),
        ("attempts, exactly 5", "attempt:5".into()),
        ("a day, old", format!("created:{}", date(day(4)))),
        ("a day, old, and a state", format!("state:discarded created:{}", date(day(4)))),
        ("an argument, common", "args.region:eu-1".into()),
        ("an argument, one in 100,000", "args.user.id:42".into()),
        ("an argument, unique", format!("args.order:{}", jobs::order(count / 7))),
        ("three common terms", format!("state:completed kind:{common} tenant:{}", tenant(0))),
        ("common and rare", format!("state:discarded tenant:{} tag:{}", tenant(40), tag(20))),
        ("any of several", format!("kind:{},{rare} tenant:{},none state:discarded", kind(3), tenant(5))),
        ("two common terms that never meet", format!("tenant:{} kind:{}", tenant(0), kind(1))),
        ("two more that never meet", format!("kind:{common} tenant:{} state:completed", tenant(1))),
        ("a queue and a kind of another", format!("queue:audit kind:{common}")),
        ("a kind of old months", format!("kind:{OLD_KIND}")),
        ("a tag of old months and a state", format!("tag:{OLD_TAG} state:discarded")),
        ("a kind of old months by prefix", "kind:leg*".into()),
        ("a tag that no job has", "tag:nothing".into()),
        ("an argument that no job has", "args.user.id:1000000".into()),
        ("a negation, common left", "-state:completed".into()),
        ("negations, common left", format!("-kind:{common} -tenant:{}", tenant(0))),
        ("a term, a negation that leaves little", format!("kind:{common} -state:completed,discarded")),
        ("a term, a negation that leaves nothing", format!("kind:{common} -queue:default")),
        ("a negation that leaves nothing", "-attempt:<=5".into()),
        ("ended on an old day", format!("ended:{}", date(day(4)))),
        ("ended on an old day, with a term", format!("state:discarded ended:{}", date(day(4)))),
        ("a prefix that no kind has", "kind:zz*".into()),
    ])
}

/// A day as a filter has it.
fn date(at: u64) -> String {
    let days = (at / 86_400_000) as i64 + 719_468;
    // Howard Hinnant's days_to_civil; all days here lie after the year 0.
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + i64::from(month <= 2))
}

/// One page, asked [`RUNS`] times: the answer, and milliseconds in order.
async fn ask(ledger: &Ledger, filter: &Filter, cursor: Option<&str>) -> Result<(Found, Vec<f64>), Failed> {
    let search = Search { filter, limit: LIMIT, cursor, patience: PATIENCE };
    let mut found = ledger.search(&search).await?;
    let mut took = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let began = Instant::now();
        found = ledger.search(&search).await?;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
        // What takes seconds is known well enough after a few.
        if took.len() >= 3 && took.iter().sum::<f64>() > 6_000.0 {
            break;
        }
    }
    took.sort_by(f64::total_cmp);
    Ok((found, took))
}

fn told((found, took): &(Found, Vec<f64>)) -> Value {
    json!({ "found": found.jobs.len(), "median": took[took.len() / 2], "worst": took[took.len() - 1],
            "searched_to": found.searched_to.is_some() })
}

/// Asks all filters whose names begin with `only`.
pub async fn search(ledger: &Ledger, count: u64, only: &str) -> Result<Vec<Value>, Failed> {
    println!(
        "{:<40} {:>5} {:>9} {:>9}   {:>5} {:>9} {:>9}",
        "first and second page", "found", "median", "worst", "found", "median", "worst"
    );
    let mut all = Vec::new();
    for (name, text) in filters(count)?.into_iter().filter(|(name, _)| name.starts_with(only)) {
        let filter = Filter::parse(&text, Timestamp::from_millis(BEGIN + YEAR))?;
        let first = ask(ledger, &filter, None).await?;
        let second = match &first.0.next {
            Some(next) => Some(ask(ledger, &filter, Some(next)).await?),
            None => None,
        };
        let one = json!({ "name": name, "filter": text, "first": told(&first), "second": second.as_ref().map(told) });
        print!("{name:<40}");
        for page in [&one["first"], &one["second"]] {
            let number = |key: &str| page[key].as_f64();
            if let (Some(found), Some(median), Some(worst)) = (number("found"), number("median"), number("worst")) {
                print!(
                    " {found:>5} {median:>9.1} {worst:>9.1} {}",
                    if page["searched_to"] == true { "*" } else { " " }
                );
            }
        }
        println!();
        all.push(one);
    }
    Ok(all)
}
