//! A Postgres and a nats-server as child processes, for `sealbus dev` and for tests that need real servers.
//!
//! [`Postgres`] and [`Nats`] run programs that are installed on this machine. They listen on 127.0.0.1 only, with a
//! random password, on a given or a free port. Their folder is kept, or removed together with the server.
//!
//! Two guarantees hold however this process ends, even by SIGKILL: a server never outlives the process that started it,
//! and a folder never has two servers at a time. Both are the work of `supervisor`. Postgres refuses to run as root, so
//! a root process runs it as another user, which `account` looks up.

mod account;
mod error;
mod find;
mod nats;
mod port;
mod postgres;
mod supervisor;

pub use crate::error::BackingError;
pub use crate::find::postgres_bin;
pub use crate::nats::{Nats, NatsOptions};
pub use crate::port::free_port;
pub use crate::postgres::{Postgres, PostgresOptions};

/// Returns a random password: 244 random bits in hex.
fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
