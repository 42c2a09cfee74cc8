//! The network: listening on a port, and serving HTTP there.

mod bind;
mod serve;

pub use bind::{BindError, bind};
pub use serve::{Patience, serve};
