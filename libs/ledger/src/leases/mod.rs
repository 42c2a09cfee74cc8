//! Leases: which process does which share of the work.

pub mod keeper;
pub mod table;
