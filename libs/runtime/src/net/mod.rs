//! Binding ports and serving HTTP.

mod bind;
mod serve;

pub use self::bind::{BindError, bind};
pub use self::serve::{ConnectionTimeouts, serve};
