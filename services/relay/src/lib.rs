//! Under construction.
mod window;
mod bound;
