//! What tests stand on: a Postgres and a NATS of the test's own, real ones, and a way to wait for a condition.
//!
//! A dev-dependency only. One Postgres cluster serves all tests of a process, each in a database of its own, cloned from a
//! migrated template; a test that kills its Postgres takes [`Postgres::own_cluster`]. Everything is gone when the process is.

#![expect(clippy::missing_panics_doc, reason = "a test that cannot have its servers has failed")]

pub mod events;
mod eventually;
mod nats;
mod postgres;

pub use crate::eventually::eventually;
pub use crate::nats::Nats;
pub use crate::postgres::Postgres;

/// A keyring file with an active key each for events, the log, scheme v1 and data keys, always the same.
pub fn keyring() -> String {
    let mut seed = [0_u8; 144];
    seed.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
    sealbus_core::seal::Keyring::generate_dev(&seed).expect("144 different bytes make a keyring")
}
