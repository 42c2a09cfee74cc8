//! The transparency log: trees, tiles, checkpoints, notes and witnesses.

mod checkpoints;
mod merkle_properties;
mod notes;
mod policy;
mod published;
mod tiles;
mod vectors;
mod witness;
