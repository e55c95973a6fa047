//! TLS, users with few rights, and installations that share a server.

use std::path::PathBuf;

use lovage_broker::{BrokerError, Producer, Reader, RedisConfig, RedisTls, WorkerSide};
use lovage_testkit::{Certificates, RedisServer};

use crate::{LEASE, connect_with, job, queue, refused, worker};

fn misconfigured(error: &BrokerError) -> String {
    assert!(matches!(error, BrokerError::Misconfigured(_)), "a person has to mend this: {error}");
    error.to_string()
}

#[tokio::test]
async fn a_private_authority_has_to_be_named() {
    let (certificates, others) = (Certificates::make(), Certificates::make());
    let (_server, port) = RedisServer::start_with_tls(&certificates, &[]);
    let at = |scheme: &str, port: u16, ca: Option<PathBuf>| RedisConfig {
        url: format!("{scheme}://127.0.0.1:{port}/"),
        tls: RedisTls { ca_file: ca, ..RedisTls::default() },
        ..RedisConfig::default()
    };
    let broker = connect_with(at("rediss", port, Some(certificates.ca()))).await;
    broker.enqueue(vec![job(&queue(), "1")]).await.unwrap();
    for ca in [None, Some(others.ca())] {
        let error = misconfigured(&refused(at("rediss", port, ca)).await);
        assert!(error.contains("certificate") && error.contains("redis_ca_file"), "{error}");
    }
    let error = refused(at("redis", port, None)).await.to_string();
    assert!(error.contains(&port.to_string()), "{error}");
    let error = misconfigured(&refused(at("redis", port, Some(certificates.ca()))).await);
    assert!(error.contains("redis_ca_file is set") && error.contains("rediss"), "{error}");
    for (file, told) in [(certificates.key(), "no CERTIFICATE"), ("/nowhere/ca.crt".into(), "cannot be read")] {
        let error = misconfigured(&refused(at("rediss", port, Some(file))).await);
        assert!(error.contains("redis_ca_file") && error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_server_may_ask_for_a_certificate() {
    let certificates = Certificates::make();
    let (_server, port) = RedisServer::start_with_tls(&certificates, &["--tls-auth-clients", "yes"]);
    let with = |cert_file, key_file| RedisConfig {
        url: format!("rediss://127.0.0.1:{port}/"),
        tls: RedisTls { ca_file: Some(certificates.ca()), cert_file, key_file },
        ..RedisConfig::default()
    };
    let broker = connect_with(with(Some(certificates.certificate()), Some(certificates.key()))).await;
    broker.enqueue(vec![job(&queue(), "1")]).await.unwrap();
    let error = misconfigured(&refused(with(Some(certificates.certificate()), None)).await);
    assert!(error.contains("redis_key_file"), "{error}");
    let none = refused(with(None, None)).await.to_string();
    assert!(none.contains("certificate"), "{none}");
}

/// A right that is missing is told: at the start if it is one for every call, else by the call.
#[tokio::test]
async fn a_missing_right_is_told() {
    let server = RedisServer::start();
    let as_user = |rights: &str| {
        let words: Vec<_> =
            ["ACL", "SETUSER", "app", "reset", "on", ">secret"].into_iter().chain(rights.split(' ')).collect();
        server.command(&words);
        RedisConfig { url: format!("redis://app:secret@127.0.0.1:{}/", server.port()), ..RedisConfig::default() }
    };
    let enqueue = async |rights: &str| {
        let broker = connect_with(as_user(rights)).await;
        misconfigured(&broker.enqueue(vec![job(&queue(), "1")]).await.unwrap_err())
    };
    let error = enqueue("~lovage:* +@all -eval -evalsha").await;
    assert!(error.contains("'evalsha'") && error.contains("ACL"), "{error}");
    let error = enqueue("~lovage:* +@all -sadd").await;
    assert!(error.contains("'sadd'"), "{error}");
    let error = refused(as_user("~other:* +@all")).await.to_string();
    assert!(error.contains("keys"), "{error}");
    // Inside a script Redis 7.0 does not name the command.
    let error = enqueue("~lovage:* +@all -hset").await;
    assert!(error.contains("hset") || error.contains("ACL LOG names it"), "{error}");
    let log = format!("{:?}", server.command(&["ACL", "LOG"]));
    assert!(log.contains("hset"), "{log}");
    connect_with(as_user("~lovage:* +@all -info")).await.queues().await.expect("INFO is only for looking");
}

/// Installations that share a server see nothing of each other: by prefix, and by database.
#[tokio::test]
async fn prefixes_and_databases_keep_installations_apart() {
    let server = RedisServer::start();
    let open = async |database: u8, prefix: &str| {
        let url = format!("redis://127.0.0.1:{}/{database}", server.port());
        connect_with(RedisConfig { url, prefix: prefix.into(), ..RedisConfig::default() }).await
    };
    let one = open(3, "lovage:").await;
    one.enqueue(vec![job(&queue(), "1")]).await.unwrap();
    for other in [open(3, "other:").await, open(0, "lovage:").await] {
        assert!(other.queues().await.unwrap().is_empty());
        assert!(other.claim(&queue(), &worker("w1"), 1, LEASE).await.unwrap().jobs.is_empty());
    }
    assert_eq!(one.claim(&queue(), &worker("w1"), 1, LEASE).await.unwrap().jobs.len(), 1);
}
