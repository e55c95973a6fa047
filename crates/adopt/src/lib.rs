//! Jobs of services that push with plain apalis-redis come into our queues.
//!
//! The producers stay as they are. An [`Adopter`] takes their tasks out of apalis' keys, enqueues each as a job of ours
//! under an id that follows from the task's, and only then tells apalis that the task is done. Whatever dies between
//! these steps, the next adopter begins with what was taken and not settled; a job that is there already answers for
//! its id. So a task arrives at least once, and once for as long as the queue remembers its id.
//!
//! `adoption` says from where to where, `keys` how apalis names its keys, `task` makes a job of a task (pure), `link`
//! talks to apalis' Redis, `adopter` does one batch, `run` one after the
//! other.

mod adopter;
mod adoption;
mod error;
mod keys;
mod link;
mod outcome;
mod run;
mod task;

pub use adopter::{Adopter, AdopterConfig};
pub use adoption::Adoption;
pub use error::AdoptError;
pub use outcome::{Backlog, Batch, Step};
