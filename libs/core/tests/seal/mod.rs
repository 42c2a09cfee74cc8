//! Headers, records, keys and signatures.

mod header;
mod keyring;
mod keyring_text;
mod record;
mod vectors;
