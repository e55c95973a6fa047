//! The dashboard in front of a real broker: numbers that are true, and what it says while the broker is away.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Connect, RedisBroker, RedisConfig, SqliteBroker, SqliteConfig};
use lovage_core::NewJob;
use lovage_dashboard::Dashboard;
use lovage_probes::{Door, Exposition, Server, Token};
use lovage_testkit::{Proxy, RedisServer, eventually};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(30);

fn serve(connect: Connect, token: Option<&str>) -> Server {
    let dashboard = Dashboard::new(connect);
    let door = Door::new(vec![dashboard.probed()], Exposition::new("1", "a", Vec::new()).unwrap())
        .gathering(Arc::new(dashboard.clone()))
        .with(dashboard.routes())
        .token(token.map(Token::new));
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Server::start_beside(anywhere, door.routes(), dashboard.keep_looking()).unwrap()
}

async fn get(server: &Server, path: &str) -> (u16, String) {
    let (address, path) = (server.address(), path.to_owned());
    let asking = tokio::task::spawn_blocking(move || {
        let mut connection = TcpStream::connect(address).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = asking.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn json_of(server: &Server, path: &str) -> (u16, Value) {
    let (status, body) = get(server, path).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn enqueue(broker: &dyn Broker, queue: &str, jobs: usize) {
    let job = || NewJob::new(queue.parse().unwrap(), "debug.noop".parse().unwrap(), &json!({})).unwrap();
    broker.enqueue((0..jobs).map(|_| job()).collect()).await.unwrap();
}

async fn claim(broker: &dyn Broker, queue: &str, jobs: usize) {
    let worker = "w1".parse().unwrap();
    let claim = broker.claim(&queue.parse().unwrap(), &worker, jobs, Duration::from_mins(1)).await.unwrap();
    assert_eq!(claim.jobs.len(), jobs);
}

async fn numbers_are_true(connect: Connect) {
    let broker = connect().await.unwrap();
    enqueue(&*broker, "mail", 5).await;
    claim(&*broker, "mail", 2).await;
    let server = serve(connect, None);
    let (status, answer) = json_of(&server, "/api/v1/scaling/mail").await;
    assert_eq!((status, &answer["code"], &answer["message"]), (200, &json!(0), &json!("ok")));
    let data = &answer["data"];
    assert_eq!((&data["desired_slots"], &data["available"], &data["running"]), (&json!(5), &json!(3), &json!(2)));
    assert!(data["oldest_available_ms"].is_u64(), "{data}");
    let (status, page) = get(&server, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"lovage_queue_jobs{queue="mail",state="available"} 3"#,
        r#"lovage_queue_jobs{queue="mail",state="running"} 2"#,
        "lovage_broker_up 1",
    ] {
        assert!(page.contains(line), "{line} is missing: {page}");
    }
    assert_eq!(json_of(&server, "/api/v1/scaling/new").await.1["data"]["desired_slots"], json!(0));
    let (status, problem) = json_of(&server, "/api/v1/scaling/NO%20NAME").await;
    assert_eq!((status, &problem["code"], &problem["data"]), (400, &json!(40_000), &Value::Null));
    assert_eq!(problem["errors"][0]["pointer"], json!("/queue"));
    assert_eq!(json_of(&server, "/api/v1/scaling/%ff").await.0, 400);
    assert_eq!(json_of(&server, "/api/v1/scaling").await.0, 404);
}

#[tokio::test]
async fn numbers_are_true_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("lovage.db"));
    numbers_are_true(Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(SqliteBroker::open(config).await?) as Arc<dyn Broker>) })
    }))
    .await;
}

fn redis(url: String) -> Connect {
    let config = RedisConfig { url, ..RedisConfig::default() };
    Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(RedisBroker::connect(config).await?) as Arc<dyn Broker>) })
    })
}

#[tokio::test]
async fn numbers_are_true_on_redis() {
    let server = RedisServer::start();
    numbers_are_true(redis(server.url())).await;
}

#[tokio::test]
async fn a_broker_that_goes_away_and_comes_back_is_said_and_no_old_number_is_shown() {
    let redis_server = RedisServer::start();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, redis_server.port()))).await;
    enqueue(&*redis(redis_server.url())().await.unwrap(), "mail", 5).await;
    let server = serve(redis(format!("redis://{}", proxy.address())), None);
    let ready = async |wanted: u16| {
        eventually(&format!("readyz answers {wanted}"), LONG, async || {
            (get(&server, "/readyz?verbose").await.0 == wanted).then_some(())
        })
        .await;
    };
    ready(200).await;
    proxy.refuse();
    proxy.cut();
    ready(503).await;
    assert_eq!(get(&server, "/livez").await.0, 200, "a restart would not bring it back");
    let (status, problem) = json_of(&server, "/api/v1/scaling/mail").await;
    assert_eq!((status, &problem["error"]), (503, &json!("unavailable")), "no number is better than a wrong one");
    let (_, page) = get(&server, "/metrics").await;
    assert!(page.contains("lovage_broker_up 0") && !page.contains("lovage_queue_jobs"), "{page}");
    proxy.heal();
    ready(200).await;
    assert_eq!(json_of(&server, "/api/v1/scaling/mail").await.1["data"]["desired_slots"], json!(5));
}

#[tokio::test]
async fn with_a_token_the_numbers_are_for_those_who_have_it() {
    let redis_server = RedisServer::start();
    let server = serve(redis(redis_server.url()), Some("s3cret"));
    for path in ["/api/v1/scaling/mail", "/metrics"] {
        let (status, problem) = json_of(&server, path).await;
        assert_eq!((status, &problem["code"]), (401, &json!(40_100)), "{path}");
    }
    assert_eq!(get(&server, "/livez").await.0, 200);
}
