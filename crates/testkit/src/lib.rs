//! Private servers, temporary stores, a fake clock and a faulty broker, for tests only.
//!
//! Every server listens on a free loopback port, keeps its files in a temporary folder and ends with its handle. A
//! missing program fails loudly and says how to install it.

mod postgres;
mod redis;
mod s3;
