//! Every row of INTEGRITY's tampering table but 33, each by its number: the change is made as a database superuser, or in files,
//! and `sealbus verify` gives exactly that verdict. And how it is asked (`questions`), what is exported (`bundles`), and
//! damaged at random (`damaged`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bundles;
mod damaged;
mod events;
mod keys;
mod log;
mod payloads;
mod plans;
mod questions;
mod restored;
mod scene;
