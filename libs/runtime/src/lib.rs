//! The furniture of a Sealbus process: everything that a role needs around its work, and nothing of the work itself.
//!
//! A role's life, in the order in which this crate takes part in it:
//! 1. [`settings`] reads every `SEALBUS_…` variable by one table, and refuses a bad value by name.
//! 2. [`telemetry`] starts the log, and makes the registry that the role's metrics stand in.
//! 3. [`net`] binds its ports, [`reconnect`](mod@reconnect) waits for the ledger and the broker to be there.
//! 4. [`lifecycle`] runs its tasks, ends the process when one of them fails, and takes them down in order on SIGTERM.
//! 5. [`admin`] tells Kubernetes, a load balancer or a deploy gate how it fares, and Prometheus what it counted.
//!
//! There is no domain here: the crate depends on no other crate of Sealbus, and none of its modules knows an event.

pub mod admin;
pub mod clock;
pub mod files;
pub mod lifecycle;
pub mod net;
pub mod reconnect;
pub mod settings;
pub mod telemetry;
