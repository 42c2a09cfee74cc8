//! Process scaffolding shared by all roles: settings, files, logging, metrics, admin server, network and shutdown.
//!
//! The modules in the order in which a role uses them:
//! 1. [`settings`] reads all `SEALBUS_…` variables by one table and refuses bad values by name. [`files`] loads keyrings and
//!    catalogs.
//! 2. [`telemetry`] starts the log and creates the registry for the role's metrics.
//! 3. [`memory`] bounds what the role holds in memory.
//! 4. [`net`] binds the role's ports. [`reconnect`](mod@reconnect) waits until the ledger and the broker are reachable.
//! 5. [`lifecycle`] runs the role's tasks, ends the process when a task fails, and stops the tasks in order on SIGTERM.
//! 6. [`admin`] serves health probes and metrics.
//!
//! [`clock`] is the system's clock. This crate depends on `sealbus-core` only, for the texts of errors and durations and for
//! parsing files. It knows neither the ledger nor the broker.

pub mod admin;
pub mod clock;
pub mod files;
pub mod lifecycle;
pub mod memory;
pub mod net;
pub mod reconnect;
pub mod settings;
pub mod telemetry;
