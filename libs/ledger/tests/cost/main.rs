//! The cost of statements on tables of tens of thousands of rows, in rows read. Each statement has a bound that does not depend on
//! the size of the tables, or that is named where it is tested.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod queues;
mod reads;
mod tables;
