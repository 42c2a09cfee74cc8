//! Tests of the whole publisher over HTTP.

mod bad_input;
mod encrypted;
mod outages;
pub(crate) mod support;
