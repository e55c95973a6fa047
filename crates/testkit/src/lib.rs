//! Private servers, small disks, a proxy that breaks connections, a faulty broker, and trials for handlers of your own;
//! for tests only.
//!
//! Every server listens on a free loopback port, keeps its files in a temporary folder and ends with its handle. A
//! missing program fails loudly and says how to install it.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test kit fails its test by panicking")]

mod announced;
mod eventually;
mod faulty;
mod postgres;
mod process;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_command;
mod redis_keys;
mod redis_sentinel;
mod redis_tls;
pub mod s3;
mod small_disk;
pub mod trial;
mod wire;

pub use eventually::eventually;
pub use faulty::{Fault, FaultyBroker, Plan, Point, kill_this_process};
pub use postgres::PostgresServer;
pub use process::{Process, Signal, skewed};
pub use proxy::Proxy;
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
pub use redis_command::Reply;
pub use redis_keys::KeyWatch;
pub use redis_sentinel::RedisSentinels;
pub use redis_tls::Certificates;
pub use s3::S3Server;
pub use small_disk::SmallDisk;
pub use trial::{Outcome, Trial, TrialReport, Trouble};
