//! Under construction.
mod window;
