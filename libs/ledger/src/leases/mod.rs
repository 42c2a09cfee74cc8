//! Leases: which process does which part of the work (`docs/spec/protocol.md#leases`).
//!
//! A lease is a row of (kind, key) with an owner, an epoch and an expiry by the database's clock. Processes that can own leases
//! of a kind are *members* of it: rows of the kind `<kind>/members`, which expire in the same way. [`table`] has the
//! statements, [`keeper`] the task that takes and renews leases for a process, so that each live member owns an equal share.
//!
//! # States of a lease
//!
//! ```text
//!                  take: epoch + 1
//!        ┌───────────────────────────────────┐   ┌──────┐
//!        │                                   ▼   ▼      │ renew: expires_at = now + L
//!   free or expired                          owned ─────┘
//!        ▲                                   │
//!        └───────────────────────────────────┘
//!         release or withdraw, or nothing for L
//! ```
//!
//! # Times
//!
//! L is [`KeeperConfig::lease_duration`](keeper::KeeperConfig::lease_duration), R the
//! [`renew_interval`](keeper::KeeperConfig::renew_interval).
//!
//! | what | when |
//! |---|---|
//! | the owner trusts its lease until | the time on its monotonic clock *before* it sent the last successful renewal + L |
//! | the database lets others take the lease from | the time on its own clock at that renewal + L |
//! | an attempt to renew ends after | L / 2 |
//! | the next attempt follows after | R; R / 4 if the last one failed, or if the member lacks leases |
//! | a lease of a crashed process has a new owner after | at most L + R and the round trips |
//! | a stopped process waits for the database | at most 1 s for the renewal in progress, then at most 1 s to give its leases back |
//!
//! The renewal reaches the database after it was sent, so the owner stops trusting the lease no later than others can take it,
//! as long as both clocks run at the same rate.
//!
//! # Epochs
//!
//! The epoch rises with each take, also by the same owner. It fences writes of a former owner: the first row of a position
//! is inserted only under the current epoch, and effects outside Postgres get the epoch as a fencing token. Leases and epochs
//! save work. No rule of safety depends on them: positions fence every effect, and two relays on one partition only duplicate
//! messages.
//!
//! # Failures
//!
//! | failure | what happens |
//! |---|---|
//! | the database is unreachable | Renewals fail and are tried again. The owner gives up each lease when its trusted time ends. Nobody can take leases until the database is back. |
//! | a process crashes | Its leases and its membership expire together, and the other members take its share. |
//! | a process is paused | When it resumes, its trusted time has ended and it gives up its leases before it works on. An operation that it had begun may still happen; the fences stop it. The monotonic clock of Linux does not count the time in which the whole machine is suspended, so after that only the fences help. |
//! | the clock of a process's host is changed | Nothing. The monotonic clock does not follow it. |
//! | the database's clock jumps forward | Leases expire early. For up to L a lease can have two owners. |
//! | the database's clock jumps back | Leases that nobody renews expire late by that much, at most by L: a lease that expires more than 2 L ahead counts as expired. For up to R a lease can have two owners. |
//! | the answer to a take is lost | The next renewal finds a lease that the process does not know of. It is released and taken again, with a higher epoch. |
//! | the answer to a renewal is lost | The trusted time is not extended. The next renewal extends it. |
//! | two owners at once | Both do the same work. Each effect happens once where a fence protects it; messages are duplicated. |

pub mod keeper;
mod share;
pub mod table;
