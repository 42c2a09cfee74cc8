//! A Postgres and a nats-server as children of this process: for `sealbus dev`, and for tests that want real ones.
//!
//! [`find`] looks for the programs on the machine; [`Postgres`] and [`Nats`] run them on 127.0.0.1 with made-up passwords, on
//! a port that was free or that was asked for, in a folder that is kept or goes with the server. Inside, `tether` sees to it
//! that a child never outlives its parent, even one that is killed with SIGKILL, and that a folder has one server at a time;
//! `account` says as whom Postgres runs where we are root, since it never runs as root.

mod account;
mod error;
pub mod find;
mod nats;
mod port;
mod postgres;
mod tether;

pub use crate::error::BackingError;
pub use crate::find::postgres_bin;
pub use crate::nats::{Nats, NatsOptions};
pub use crate::port::free_port;
pub use crate::postgres::{Postgres, PostgresOptions};

/// A made-up password: 244 random bits in hex.
fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
