//! Test support: real Postgres and NATS servers, a ledger or a bus on them, drafts of events, and waiting for conditions.
//!
//! Only for dev-dependencies. All tests of a process share one Postgres cluster, in which each test gets a database that is
//! cloned from a migrated template. A test that kills or reconfigures Postgres uses [`Postgres::own_cluster`]. Servers and
//! their files are removed when the process ends.

#![expect(clippy::missing_panics_doc, reason = "a test that cannot be set up has failed")]

mod bus;
pub mod events;
mod eventually;
pub mod ledger;
mod nats;
mod postgres;
pub mod process;
mod proxy;

pub use crate::bus::TestBus;
pub use crate::eventually::{eventually, eventually_eq, holds_in_time};
pub use crate::ledger::TestLedger;
pub use crate::nats::{Nats, stream_settings};
pub use crate::postgres::Postgres;
pub use crate::proxy::Proxy;

/// Returns the text of a keyring file with one active key each for events, the log, scheme v1 and data keys. It is always the
/// same.
pub fn keyring() -> String {
    let mut seed = [0_u8; 144];
    seed.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
    sealbus_core::seal::Keyring::generate_dev(&seed).expect("144 different bytes make a keyring")
}
