//! A Postgres and a nats-server as children of this process: for `sealbus dev`, and for tests that want real ones.
//!
//! [`find`] looks for the programs on the machine, [`postgres`] and [`nats`] run them on 127.0.0.1 with made-up passwords,
//! and [`tether`] sees to it that a child never outlives its parent, even one that is killed with SIGKILL.
//! Postgres is never run as root: [`account`] says as whom.

mod account;
mod error;
pub mod find;
mod nats;
mod port;
mod postgres;
mod tether;

pub use error::BackingError;
pub use find::postgres_bin;
pub use nats::{Nats, NatsOptions};
pub use port::free_port;
pub use postgres::{Postgres, PostgresOptions};

/// A made-up password: 244 random bits in hex.
fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
