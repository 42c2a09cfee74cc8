//! Tests of the whole publisher over HTTP.

mod bad_input;
mod encrypted;
mod idempotency;
mod member_names;
mod outages;
mod pressure;
mod round_trips;
pub(crate) mod support;
