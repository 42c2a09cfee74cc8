//! How bodies come in: capped each, and capped together, so that memory does not grow with the number of callers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, header};
use sealbus_core::error::{ErrorKind, Refused};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes that one permit stands for.
const UNIT: usize = 1_024;

/// The publisher's intake.
#[derive(Debug)]
pub struct Intake {
    room: Arc<Semaphore>,
    body_bytes: usize,
    wait: Duration,
    time: Duration,
}

/// A body, and its share of the room: to be kept until the call is answered.
#[derive(Debug)]
pub struct Taken {
    /// The body.
    pub bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Intake {
    /// Room for `room` bytes of bodies at once, `body_bytes` of each. A call waits up to `wait` for room, and its body may
    /// take `time` to come in.
    pub fn new(room: usize, body_bytes: usize, wait: Duration, time: Duration) -> Self {
        let units = units(room.max(body_bytes)) as usize;
        Self { room: Arc::new(Semaphore::new(units)), body_bytes, wait, time }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// `unsupported_media_type` for a compressed one, `too_large`, `overloaded` where no room comes free, `request_timeout`,
    /// `invalid_field` where the body breaks off.
    pub async fn take(&self, headers: &HeaderMap, body: Body) -> Result<Taken, Refused> {
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(Refused::new(ErrorKind::UnsupportedMediaType, "the body is not taken in a Content-Encoding"));
        }
        let too_large = || Refused::new(ErrorKind::TooLarge, format!("a body is at most {} bytes", self.body_bytes));
        // A body that does not say its length may turn out to be as long as any.
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length: usize = length.unwrap_or(self.body_bytes);
        if length > self.body_bytes {
            return Err(too_large());
        }
        let share = timeout(self.wait, Arc::clone(&self.room).acquire_many_owned(units(length))).await;
        let Ok(Ok(share)) = share else {
            return Err(Refused::new(ErrorKind::Overloaded, "too many bodies are in hand already"));
        };
        let read = timeout(self.time, to_bytes(body, self.body_bytes)).await;
        let read = read.map_err(|_| Refused::new(ErrorKind::RequestTimeout, format!("the body did not come in within {:?}", self.time)))?;
        match read {
            Ok(bytes) => Ok(Taken { bytes, _share: share }),
            // The cap is the only reason of the limited body's own; anything else is the connection's.
            Err(error) if is_length_limit(&error) => Err(too_large()),
            Err(_) => Err(Refused::new(ErrorKind::InvalidField, "the body broke off")),
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX)
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit") {
            return true;
        }
        cause = error.source();
    }
    false
}
