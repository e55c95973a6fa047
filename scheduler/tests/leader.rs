//! Who leads: one at a time, another within seconds when it is gone, and never two.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker::{Broker, Connect, OsEntropy, RedisBroker, RedisConfig, SystemClock};
use lovage_core::{Entropy as _, Probed as _};
use lovage_ledger::{Ledger, LedgerAddress, migrate};
use lovage_scheduler::{Duty, DutyError, Metrics, Scheduler, prometheus};
use lovage_testkit::{PostgresServer, Proxy, RedisServer, eventually};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// For a slow machine; nothing here waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Began(&'static str, u64),
    Ended(&'static str),
}

/// Tells when it begins in a term, and when it is broken off; stays at work in between.
struct Watched(&'static str, mpsc::UnboundedSender<Told>);

struct UntilDropped<'a>(&'a Watched);

impl Drop for UntilDropped<'_> {
    fn drop(&mut self) {
        let _ = self.0.1.send(Told::Ended(self.0.0));
    }
}

#[async_trait]
impl Duty for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        let _ = self.1.send(Told::Began(self.0, term));
        let _guard = UntilDropped(self);
        std::future::pending().await
    }
}

/// Fails once, then is told that somebody else leads.
struct Deposed(mpsc::UnboundedSender<Told>, std::sync::atomic::AtomicU64);

#[async_trait]
impl Duty for Deposed {
    fn name(&self) -> &'static str {
        "deposed"
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        let _ = self.0.send(Told::Began("deposed", term));
        match self.1.fetch_add(1, std::sync::atomic::Ordering::AcqRel) {
            0 => Err(DutyError::Deposed),
            _ => std::future::pending().await,
        }
    }
}

/// Breaks the first time.
struct Panics(mpsc::UnboundedSender<Told>, std::sync::atomic::AtomicU64);

#[async_trait]
impl Duty for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    async fn run_once(&self, term: u64) -> Result<Duration, DutyError> {
        let _ = self.0.send(Told::Began("panics", term));
        assert_ne!(self.1.fetch_add(1, std::sync::atomic::Ordering::AcqRel), 0, "as it is meant here");
        std::future::pending().await
    }
}

struct Stage {
    redis: RedisServer,
    ledger: Ledger,
    told: mpsc::UnboundedReceiver<Told>,
    tell: mpsc::UnboundedSender<Told>,
    _folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = LedgerAddress::file(folder.path().join("ledger.db"));
        migrate(&address).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let ledger = Ledger::open(&address).await.unwrap();
        Self { redis: RedisServer::start(), ledger, told, tell, _folder: folder }
    }

    fn scheduler(&self, url: String, duty: Arc<dyn Duty>) -> Scheduler {
        Self::scheduler_with(url, self.ledger.clone(), duty)
    }

    fn scheduler_with(url: String, ledger: Ledger, duty: Arc<dyn Duty>) -> Scheduler {
        Self::scheduler_shown(url, ledger, duty, &prometheus::Registry::new())
    }

    fn scheduler_shown(url: String, ledger: Ledger, duty: Arc<dyn Duty>, registry: &prometheus::Registry) -> Scheduler {
        let connect: Connect = Arc::new(move || {
            let config = RedisConfig { url: url.clone(), ..RedisConfig::default() };
            Box::pin(async move { Ok(Arc::new(RedisBroker::connect(config).await?) as Arc<dyn Broker>) })
        });
        let metrics = Metrics::new(registry, Arc::new(SystemClock)).unwrap();
        let mut random = [0; 8];
        OsEntropy.fill(&mut random);
        Scheduler::new(format!("{random:?}"), connect, ledger, metrics).with(duty)
    }

    fn start(&self, name: &'static str, url: String) -> (JoinHandle<()>, CancellationToken) {
        let scheduler = self.scheduler(url, Arc::new(Watched(name, self.tell.clone())));
        let stop = CancellationToken::new();
        (tokio::spawn(scheduler.run(stop.clone())), stop)
    }

    /// Waits until somebody has had the lease.
    async fn leads_once(&self) {
        eventually("somebody has had the lease", PATIENCE, async || {
            let there = self.redis.ask(&["EXISTS", "lovage:{.leader}"]);
            there.trim().ends_with('1').then_some(())
        })
        .await;
    }

    async fn told(&mut self) -> Told {
        // bounded wait: a message comes
        tokio::time::timeout(PATIENCE, self.told.recv()).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn the_next_leads_when_one_stops_and_when_one_is_lost() {
    let mut stage = Stage::new().await;
    let url = stage.redis.url();
    let (first, stop) = stage.start("first", url.clone());
    assert_eq!(stage.told().await, Told::Began("first", 1));
    let (second, _stop) = stage.start("second", url.clone());
    stop.cancel();
    first.await.unwrap();
    assert_eq!(stage.told().await, Told::Ended("first"));
    assert_eq!(stage.told().await, Told::Began("second", 2));
    let (_third, _stop) = stage.start("third", url);
    // Gives nothing up, as a process that is killed.
    second.abort();
    assert_eq!(stage.told().await, Told::Ended("second"));
    assert_eq!(stage.told().await, Told::Began("third", 3));
}

/// Row 12: of a broker that says nothing a leader cannot know whether another leads already.
#[tokio::test]
async fn a_leader_that_hears_nothing_ends_before_another_begins() {
    let mut stage = Stage::new().await;
    let proxy = Proxy::start(stage.redis.address()).await;
    let far = format!("redis://{}", proxy.address());
    let (_cut_off, _stop) = stage.start("cut off", far);
    assert_eq!(stage.told().await, Told::Began("cut off", 1));
    let (_near, _stop) = stage.start("near", stage.redis.url());
    proxy.blackhole();
    assert_eq!(stage.told().await, Told::Ended("cut off"));
    assert_eq!(stage.told().await, Told::Began("near", 2));
}

/// The broker forgets all terms; the ledger does not.
#[tokio::test]
async fn terms_grow_though_the_broker_forgets_them() {
    let mut stage = Stage::new().await;
    let (first, stop) = stage.start("first", stage.redis.url());
    assert_eq!(stage.told().await, Told::Began("first", 1));
    stop.cancel();
    first.await.unwrap();
    assert_eq!(stage.told().await, Told::Ended("first"));
    stage.redis.ask(&["FLUSHALL"]);
    let (_second, _stop) = stage.start("second", stage.redis.url());
    assert_eq!(stage.told().await, Told::Began("second", 2));
}

/// Who has the broker and not the ledger does not stand in the way of who has both.
#[tokio::test]
async fn who_has_no_ledger_lets_another_lead() {
    let mut stage = Stage::new().await;
    let postgres = PostgresServer::start();
    let address: LedgerAddress = postgres.url().parse().unwrap();
    migrate(&address).await.unwrap();
    let without = Ledger::open(&address).await.unwrap();
    drop(postgres);
    let duty = Arc::new(Watched("without", stage.tell.clone()));
    let poor = Stage::scheduler_with(stage.redis.url(), without, duty);
    let health = poor.health();
    let _poor = tokio::spawn(poor.run(CancellationToken::new()));
    stage.leads_once().await;
    let (_rich, _stop) = stage.start("rich", stage.redis.url());
    assert_eq!(stage.told().await, Told::Began("rich", 1));
    assert!(!health.ready()[0].ok, "who has the lease and no ledger does not lead");
}

#[tokio::test]
async fn a_duty_that_breaks_is_done_in_the_next_term() {
    let mut stage = Stage::new().await;
    let duty = Arc::new(Panics(stage.tell.clone(), 0.into()));
    let _running = tokio::spawn(stage.scheduler(stage.redis.url(), duty).run(CancellationToken::new()));
    assert_eq!(stage.told().await, Told::Began("panics", 1));
    assert_eq!(stage.told().await, Told::Began("panics", 2));
}

/// The ledger says that somebody with a later term has written.
#[tokio::test]
async fn who_is_told_that_another_leads_begins_anew() {
    let mut stage = Stage::new().await;
    let duty = Arc::new(Deposed(stage.tell.clone(), 0.into()));
    let scheduler = stage.scheduler(stage.redis.url(), duty);
    let health = scheduler.health();
    assert!(health.ready().iter().any(|check| !check.ok), "nothing is known yet");
    let _running = tokio::spawn(scheduler.run(CancellationToken::new()));
    assert_eq!(stage.told().await, Told::Began("deposed", 1));
    assert_eq!(stage.told().await, Told::Began("deposed", 2));
    assert!(health.ready().iter().chain(&health.live()).all(|check| check.ok));
}

/// A duty that hangs says nothing of itself.
#[tokio::test]
async fn a_duty_that_is_not_done_is_seen_to_be_behind() {
    let mut stage = Stage::new().await;
    let registry = prometheus::Registry::new();
    let duty = Arc::new(Watched("hangs", stage.tell.clone()));
    let scheduler = Stage::scheduler_shown(stage.redis.url(), stage.ledger.clone(), duty, &registry);
    let stop = CancellationToken::new();
    let running = tokio::spawn(scheduler.run(stop.clone()));
    assert_eq!(stage.told().await, Told::Began("hangs", 1));
    let lag = || {
        let families = registry.gather().into_iter().filter(|family| family.name() == "lovage_scheduler_lag_seconds");
        families.flat_map(|family| family.get_metric().to_vec()).map(|metric| metric.get_gauge().get_value()).next()
    };
    eventually("it is behind", PATIENCE, async || lag().filter(|lag| *lag > 0.5)).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(lag(), None, "who does not lead knows nothing of it");
}

/// It has led for a while, and the ledger is gone for it alone.
#[tokio::test]
async fn a_leader_that_has_lost_the_ledger_makes_room() {
    let mut stage = Stage::new().await;
    let postgres = PostgresServer::start();
    let proxy = Proxy::start(std::net::SocketAddr::from(([127, 0, 0, 1], postgres.port()))).await;
    let address: LedgerAddress = postgres.url().parse().unwrap();
    migrate(&address).await.unwrap();
    let far: LedgerAddress = postgres
        .url()
        .replace(&format!(":{}", postgres.port()), &format!(":{}", proxy.address().port()))
        .parse()
        .unwrap();
    let far = Ledger::open(&far).await.unwrap();
    let lost = Stage::scheduler_with(stage.redis.url(), far, Arc::new(Watched("lost", stage.tell.clone())));
    let health = lost.health();
    let _lost = tokio::spawn(lost.run(CancellationToken::new()));
    assert_eq!(stage.told().await, Told::Began("lost", 1));
    let near = Ledger::open(&address).await.unwrap();
    let near = Stage::scheduler_with(stage.redis.url(), near, Arc::new(Watched("near", stage.tell.clone())));
    let _near = tokio::spawn(near.run(CancellationToken::new()));
    proxy.blackhole();
    assert_eq!(stage.told().await, Told::Ended("lost"));
    assert_eq!(stage.told().await, Told::Began("near", 2));
    eventually("its probe says so", PATIENCE, async || (!health.ready()[0].ok).then_some(())).await;
}
