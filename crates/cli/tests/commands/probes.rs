//! What Kubernetes and Prometheus see of the roles: real processes, asked over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use lovage_testkit::{Process, Proxy, RedisServer, Signal, eventually};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place};

const ANYWHERE: &str = "127.0.0.1:0";
const TOKEN: &str = "0123456789abcdef-probes";

/// Where a process listens, as it says in the line with `what`.
async fn door(process: &Process, what: &str) -> SocketAddr {
    eventually(&format!("it says {what:?} and where"), PATIENCE, async || {
        let output = process.output();
        let line = output.lines().find(|line| line.contains(what))?;
        line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
    })
    .await
}

/// The answer's status and body; nothing while nobody listens.
fn ask(address: SocketAddr, path: &str, headers: &str) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(address).ok()?;
    write!(connection, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn status(address: SocketAddr, path: &str) -> u16 {
    ask(address, path, "").map_or(0, |(status, _)| status)
}

async fn until(address: SocketAddr, path: &str, wanted: u16) {
    eventually(&format!("{path} answers {wanted}"), PATIENCE, async || (status(address, path) == wanted).then_some(()))
        .await;
}

#[tokio::test]
async fn a_draining_worker_is_alive_and_not_ready_until_its_end() {
    let place = Place::new();
    let variables = [("LOVAGE_METRICS_ADDR", ANYWHERE), ("LOVAGE_DEBUG_KINDS", "true")];
    let mut worker = place.start(&variables, &["worker", "--queues", "mail"]);
    let address = door(&worker, "probes and metrics").await;
    until(address, "/readyz", 200).await;
    assert_eq!((status(address, "/startupz"), status(address, "/healthz")), (200, 200));
    place.run(&["job", "enqueue", "debug.noop", "--queue", "mail", "--wait"]).ok();
    let id = place.enqueue(&["debug.sleep", "--queue", "mail", "--args", r#"{"ms": 600000}"#]);
    eventually("the job runs", PATIENCE, async || (place.state(&id) == "running").then_some(())).await;
    let (_, page) = ask(address, "/metrics", "").expect("an answer");
    for line in [
        r#"lovage_job_attempts_total{kind="debug.noop",outcome="completed",queue="mail"} 1"#,
        r#"lovage_jobs_claimed_total{queue="mail"} 2"#,
        "lovage_worker_slots_busy 1",
        "lovage_build_info{revision=",
    ] {
        assert!(page.contains(line), "{line} is missing: {page}");
    }
    assert!(!page.contains("lovage_queue_jobs"), "only one role shows the queues, or sums count them twice");
    worker.signal(Signal::Term);
    until(address, "/readyz", 503).await;
    let (_, body) = ask(address, "/readyz?verbose", "").expect("an answer");
    let problem: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&problem["code"], &problem["checks"][2]["name"]), (&json!(50_301), &json!("claiming")));
    assert_eq!(status(address, "/livez"), 200, "a restart now would only hurt");
    worker.signal(Signal::Term);
    assert!(worker.ended(PATIENCE).await.success());
    assert_eq!(status(address, "/livez"), 0, "the door closes with the worker");
}

#[tokio::test]
async fn a_worker_is_not_ready_while_its_redis_is_away_and_ready_when_it_is_back() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port()))).await;
    let place = Place::new();
    let url = format!("redis://{}", proxy.address());
    let worker = place.start(&[("LOVAGE_METRICS_ADDR", ANYWHERE), ("REDIS_URL", &url)], &["worker"]);
    let address = door(&worker, "probes and metrics").await;
    until(address, "/readyz", 200).await;
    proxy.refuse();
    proxy.cut();
    until(address, "/readyz", 503).await;
    assert!(ask(address, "/readyz", "").expect("an answer").1.contains("broker does not answer"));
    assert_eq!(status(address, "/livez"), 200, "a restart would not bring it back");
    proxy.heal();
    until(address, "/readyz", 200).await;
}

#[tokio::test]
async fn the_dashboard_shows_queues_and_scaling_to_those_with_the_token() {
    let place = Place::new();
    for _ in 0..3 {
        place.enqueue(&["debug.noop", "--queue", "mail"]);
    }
    let file = place.file("token", &format!("{TOKEN}\n"));
    let variables =
        [("LOVAGE_HTTP_ADDR", ANYWHERE), ("LOVAGE_METRICS_TOKEN_FILE", file.to_str().expect("a plain path"))];
    let mut dashboard = place.start(&variables, &["dashboard"]);
    let address = door(&dashboard, "the dashboard listens").await;
    until(address, "/readyz", 200).await;
    for path in ["/metrics", "/api/v1/scaling/mail"] {
        assert_eq!(status(address, path), 401, "{path}");
    }
    let header = format!("authorization: Bearer {TOKEN}\r\n");
    let (_, page) = ask(address, "/metrics", &header).expect("an answer");
    assert!(page.contains(r#"lovage_queue_jobs{queue="mail",state="available"} 3"#), "{page}");
    let (code, body) = ask(address, "/api/v1/scaling/mail", &header).expect("an answer");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((code, &answer["data"]["desired_slots"]), (200, &json!(3)));
    dashboard.signal(Signal::Term);
    assert!(dashboard.ended(PATIENCE).await.success());
    assert!(!dashboard.output().contains(TOKEN), "{}", dashboard.output());
}

#[test]
fn the_dashboard_does_not_show_itself_to_a_network_by_accident() {
    let place = Place::new();
    let open = [("LOVAGE_HTTP_ADDR", "0.0.0.0:0")];
    place.run_with(&open, &["dashboard"]).failed(2, &["http_addr", "metrics_token", "metrics_public"]);
    let short = [("LOVAGE_METRICS_TOKEN", "hunter2")];
    let refused = place.run_with(&short, &["dashboard"]).failed(2, &["metrics_token", "at least 16"]);
    assert!(!refused.err.contains("hunter2"), "{}", refused.err);
    place.run_with(&[("LOVAGE_METRICS_ADDR", "9090")], &["worker"]).failed(2, &["metrics_addr", "127.0.0.1:9090"]);
    let taken = std::net::TcpListener::bind(ANYWHERE).expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    place.run_with(&[("LOVAGE_METRICS_ADDR", &taken)], &["worker"]).failed(2, &["metrics_addr", &taken]);
}

#[tokio::test]
async fn up_shows_worker_and_queues_on_one_page() {
    let place = Place::new();
    let mut up = place.start(&[("LOVAGE_HTTP_ADDR", ANYWHERE)], &["up"]);
    let address = door(&up, "the dashboard listens").await;
    until(address, "/readyz", 200).await;
    place.run(&["job", "enqueue", "debug.noop", "--wait"]).ok();
    let page = eventually("the page has the queue", PATIENCE, async || {
        ask(address, "/metrics", "").map(|(_, page)| page).filter(|page| page.contains("lovage_queue_jobs"))
    })
    .await;
    for name in ["lovage_job_attempts_total", "lovage_worker_slots", "lovage_queue_oldest_available_seconds"] {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} is missing: {page}");
    }
    assert_eq!(page.matches("# TYPE lovage_build_info ").count(), 1);
    up.signal(Signal::Term);
    assert!(up.ended(PATIENCE).await.success());
}
