//! The proxy does to a connection what its methods say, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use lovage_testkit::Proxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Longer than anything here takes, and how long silence is listened to.
const LONG: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(100);

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                tokio::io::copy(&mut reads, &mut writes).await
            });
        }
    });
    address
}

async fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn hears_itself(stream: &mut TcpStream) {
    stream.write_all(b"hello").await.unwrap();
    hears(stream).await;
}

async fn hears(stream: &mut TcpStream) {
    let mut answer = [0; 5];
    timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"hello");
}

async fn hears_nothing(stream: &mut TcpStream) {
    stream.write_all(b"hello").await.unwrap();
    assert!(timeout(SILENCE, stream.read_u8()).await.is_err(), "nothing may arrive");
}

#[tokio::test]
async fn bytes_and_the_end_of_the_stream_pass() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut reads, mut writes) = stream.split();
    let mut heard = Vec::new();
    let talk = async {
        writes.write_all(&sent).await.unwrap();
        writes.shutdown().await.unwrap();
    };
    timeout(LONG, async { tokio::join!(talk, reads.read_to_end(&mut heard)) }).await.unwrap().1.unwrap();
    assert!(heard == sent, "every byte in order, {} of {}", heard.len(), sent.len());
}

#[tokio::test]
async fn a_delay_makes_each_round_trip_longer_and_not_the_stream_slower() {
    let proxy = Proxy::start(echo().await).await;
    let delay = Duration::from_millis(40);
    proxy.delay(delay);
    let mut stream = connect(&proxy).await;
    let began = Instant::now();
    for _ in 0..3 {
        hears_itself(&mut stream).await;
    }
    assert!(began.elapsed() >= 3 * delay, "{:?} for three round trips of {delay:?} each", began.elapsed());

    // A hundred pieces one after the other, not one per round trip: 4 s if they waited for each other.
    let (mut reads, mut writes) = stream.split();
    let began = Instant::now();
    let talk = async {
        for _ in 0..100 {
            writes.write_all(b"hello").await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let mut heard = vec![0; 500];
    tokio::join!(talk, reads.read_exact(&mut heard)).1.unwrap();
    assert!(began.elapsed() < 50 * delay, "{:?} for a hundred pieces", began.elapsed());

    proxy.delay(Duration::ZERO);
    hears_itself(&mut stream).await;
}

#[tokio::test]
async fn a_cut_resets_what_is_there_and_nothing_else() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    hears_itself(&mut stream).await;
    proxy.cut();
    let error = timeout(LONG, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    hears_itself(&mut connect(&proxy).await).await;
}

#[tokio::test]
async fn a_half_open_connection_stays_silent_for_ever() {
    let proxy = Proxy::start(echo().await).await;
    let mut before = connect(&proxy).await;
    hears_itself(&mut before).await;
    proxy.half_open();
    let mut meanwhile = connect(&proxy).await;
    hears_nothing(&mut before).await;
    hears_nothing(&mut meanwhile).await;
    proxy.heal();
    hears_itself(&mut connect(&proxy).await).await;
    hears_nothing(&mut before).await;
    hears_nothing(&mut meanwhile).await;
}

#[tokio::test]
async fn a_blackhole_holds_everything_until_it_is_healed() {
    let proxy = Proxy::start(echo().await).await;
    let mut before = connect(&proxy).await;
    hears_itself(&mut before).await;
    proxy.blackhole();
    let mut meanwhile = connect(&proxy).await;
    hears_nothing(&mut before).await;
    hears_nothing(&mut meanwhile).await;
    proxy.heal();
    hears(&mut before).await;
    hears(&mut meanwhile).await;
}

#[tokio::test]
async fn a_refusal_concerns_new_connections() {
    let proxy = Proxy::start(echo().await).await;
    let mut before = connect(&proxy).await;
    hears_itself(&mut before).await;
    proxy.refuse();
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    hears_itself(&mut before).await;
    proxy.heal();
    hears_itself(&mut connect(&proxy).await).await;
}

#[tokio::test]
async fn a_target_that_is_away_is_a_reset() {
    // Bound, so that nobody else takes the port, and not listening.
    let away = TcpSocket::new_v4().unwrap();
    away.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let proxy = Proxy::start(away.local_addr().unwrap()).await;
    // The reset may come before the caller knows that it is connected.
    if let Ok(mut stream) = TcpStream::connect(proxy.address()).await {
        assert!(timeout(LONG, stream.read_u8()).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn an_answer_replaces_the_target_until_it_is_healed() {
    let proxy = Proxy::start(echo().await).await;
    let mut before = connect(&proxy).await;
    hears_itself(&mut before).await;
    proxy.answer("no");
    assert!(timeout(LONG, before.read_u8()).await.unwrap().is_err(), "what was there is cut");
    let mut meanwhile = connect(&proxy).await;
    meanwhile.write_all(b"hello").await.unwrap();
    let mut said = String::new();
    timeout(LONG, meanwhile.read_to_string(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, "no");
    proxy.heal();
    hears_itself(&mut connect(&proxy).await).await;
}
