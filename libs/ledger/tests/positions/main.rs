//! Positions on a real Postgres: the check of the lease epoch, the first row, parking, unparking, operator commands and pruning.
//! Each test fails if a statement lacks a clause that the protocol's rules under "Consume" require.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corrupt;
mod moves;
mod operators;
mod parking;
mod scene;
