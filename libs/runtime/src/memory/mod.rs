//! Memory accounting: the one type for all bounds in bytes of a process.
//!
//! A [`Budget`] bounds what one part of a process holds in memory, such as the request bodies of a publisher, and divides it
//! between owners, such as tokens or tenants. [`BOUNDS`](bounds::BOUNDS) lists the bounds of every role, so that their sum is known before a
//! process starts; `sealbus config` prints it.

pub mod bounds;
mod budget;
#[cfg(test)]
mod tests;

pub use self::budget::{Budget, Exhausted, Reservation};
