//! Reading: stored events and live streams.

mod reading;
mod streams;

pub(crate) use self::reading::Reading;
pub(crate) use self::streams::{Hub, OpenStreams, Source, Streams, resume_position};
