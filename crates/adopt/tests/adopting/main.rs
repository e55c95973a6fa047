//! Tasks that a real apalis-redis producer pushes arrive in our queues: all of them, each once by its id, at their time,
//! whatever breaks in between.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arriving;
mod breaking;
mod odd;
mod stage;
