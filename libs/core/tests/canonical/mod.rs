//! Canonical JSON and its strict reader.

mod nodes;
mod strict_reader;
mod strict_reader_properties;
mod vectors;
mod writer;
