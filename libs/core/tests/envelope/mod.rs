//! Encrypted payloads.

mod form;
mod properties;
mod vectors;
