//! Tests of the whole publisher over HTTP.

mod bad_input;
mod encrypted;
mod outages;
mod pressure;
pub(crate) mod support;
