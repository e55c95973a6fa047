//! The door as a stranger meets it: bytes in, bytes out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lovage_core::{Check, Probed};
use lovage_probes::{Door, Exposition, Server, Token};
use prometheus::{IntCounter, Registry};
use serde_json::{Value, json};

#[derive(Default)]
struct Role(AtomicBool);

impl Probed for Role {
    fn live(&self) -> Vec<Check> {
        vec![Check::of("loop", true, "moves", "stands still")]
    }
    fn ready(&self) -> Vec<Check> {
        vec![Check::of("claiming", self.0.load(Ordering::Acquire), "claims jobs", "draining")]
    }
    fn started(&self) -> Vec<Check> {
        Vec::new()
    }
}

fn start(role: &Arc<Role>, token: Option<&str>) -> Server {
    let registry = Registry::new();
    let counter = IntCounter::new("lovage_test_total", "A count.").unwrap();
    counter.inc_by(7);
    registry.register(Box::new(counter)).unwrap();
    let exposition = Exposition::new("1.2.3", "abc", vec![registry]).unwrap();
    let door = Door::new(vec![Arc::clone(role) as Arc<dyn Probed>], exposition).token(token.map(Token::new));
    Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), door.routes()).unwrap()
}

/// Sends these bytes and reads to the end of the connection.
fn raw(server: &Server, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(server.address()).unwrap();
    // A server that refuses early may close before all is sent.
    let _ = connection.write_all(request);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn send(server: &Server, method: &str, path: &str, headers: &str) -> (u16, String, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    let answer = raw(server, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn get(server: &Server, path: &str) -> (u16, Value) {
    let (status, _, body) = send(server, "GET", path, "");
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

#[test]
fn a_role_that_drains_is_alive_and_not_ready() {
    let role = Arc::new(Role::default());
    role.0.store(true, Ordering::Release);
    let server = start(&role, None);
    for path in ["/livez", "/healthz", "/readyz", "/startupz"] {
        assert_eq!(get(&server, path), (200, json!({"code": 0, "message": "ok", "data": null})), "{path}");
    }
    let checks = json!([{"name": "claiming", "ok": true, "detail": "claims jobs"}]);
    assert_eq!(get(&server, "/readyz?verbose").1["data"], json!({ "checks": checks }));
    role.0.store(false, Ordering::Release);
    let (status, answer) = get(&server, "/readyz?verbose");
    assert_eq!((status, &answer["code"], &answer["error"]), (503, &json!(50_301), &json!("not_well")));
    assert_eq!((&answer["message"], &answer["data"]), (&json!("claiming draining"), &Value::Null));
    assert_eq!(answer["checks"][0]["ok"], json!(false));
    assert_eq!(get(&server, "/livez").0, 200);
}

#[test]
fn the_page_of_metrics_has_the_registry_and_the_build() {
    let server = start(&Arc::default(), None);
    let (status, head, body) = send(&server, "GET", "/metrics", "");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("\nlovage_test_total 7\n"), "{body}");
    assert!(body.contains(r#"lovage_build_info{revision="abc",version="1.2.3"} 1"#), "{body}");
}

#[test]
fn with_a_token_all_but_the_probes_asks_for_it() {
    let server = start(&Arc::default(), Some("s3cret"));
    assert_eq!(get(&server, "/livez").0, 200);
    let (status, head, body) = send(&server, "GET", "/metrics", "");
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: bearer"), "{head}");
    assert!(!body.contains("lovage_test_total"));
    assert_eq!(send(&server, "GET", "/metrics", "authorization: Bearer wrong\r\n").0, 401);
    assert_eq!(send(&server, "GET", "/metrics", "authorization: Bearer s3cret\r\n").0, 200);
}

#[test]
fn what_is_not_there_and_what_is_not_allowed_have_the_same_shape() {
    let server = start(&Arc::default(), None);
    for (method, path, status) in [("GET", "/", 404), ("GET", "/metrics/../x", 404), ("POST", "/livez", 405)] {
        let (seen, head, body) = send(&server, method, path, "");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(seen, status, "{method} {path}");
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(status * 100)));
        assert_eq!(problem["data"], Value::Null);
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
}

#[test]
fn every_answer_carries_the_headers_and_gives_the_request_id_back() {
    let server = start(&Arc::default(), None);
    for path in ["/livez", "/metrics", "/nothing"] {
        let (_, head, _) = send(&server, "GET", path, "x-request-id: r-1\r\n");
        for part in [
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
            "cross-origin-opener-policy: same-origin",
            "content-security-policy: default-src 'none'",
            "cache-control: no-store",
            "x-request-id: r-1",
        ] {
            assert!(head.contains(part), "{part} is missing for {path}: {head}");
        }
    }
}

#[test]
fn garbage_is_refused_and_hurts_nobody() {
    let server = start(&Arc::default(), None);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let headers = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET  \r\n\r\n",
        long.as_bytes(),
        headers.as_bytes(),
    ];
    for request in garbage {
        let answer = raw(&server, request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let (status, answer) = get(&server, "/readyz?verbose=%ff%00&&=&verbose");
    assert_eq!(
        (status, &answer["checks"][0]["name"]),
        (503, &json!("claiming")),
        "what is no parameter is passed over"
    );
    let body = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000000000\r\n\r\nxxxx";
    assert!(raw(&server, body).starts_with("HTTP/1.1 200"), "a body is not read");
    assert_eq!(get(&server, "/livez").0, 200);
}

/// Asks from another address of this machine than the other tests.
fn get_from_elsewhere(server: &Server, path: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connecting = async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
        socket.connect(server.address()).await.unwrap().into_std().unwrap()
    };
    let mut connection = runtime.block_on(connecting);
    connection.set_nonblocking(false).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = connection.read_to_string(&mut answer);
    answer
}

#[test]
fn one_stranger_does_not_take_the_places_of_all() {
    let server = start(&Arc::default(), None);
    let silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let answer = get_from_elsewhere(&server, "/livez");
    assert!(answer.starts_with("HTTP/1.1 200"), "the probe is not answered: {answer:?}");
    drop(silent);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let server = start(&Arc::default(), None);
    let exposition = Exposition::new("1", "a", Vec::new()).unwrap();
    let error = Server::start(server.address(), Door::new(Vec::new(), exposition).routes()).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on {}", server.address())), "{error}");
}
