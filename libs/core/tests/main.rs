//! Tests of the public interface. They are one program, because each program more has to be linked with all libraries.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod canonical;
mod common;
mod envelope;
mod log;
mod seal;
mod verify;
