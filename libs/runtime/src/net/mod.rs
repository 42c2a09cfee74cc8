//! The network: listening on a port, and serving HTTP there.

mod bind;
mod serve;

pub use self::bind::{BindError, bind};
pub use self::serve::{ConnectionTimeouts, serve};
