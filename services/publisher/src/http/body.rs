//! How bodies come in: capped each, and capped together, so that memory does not grow with the number of callers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures::StreamExt as _;
use prometheus_client::metrics::gauge::Gauge;
use sealbus_core::error::{ErrorKind, Refused};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes that one permit stands for.
const UNIT: usize = 1_024;
/// Caps' worth of a body that is too large that are read all the same.
const THROWN_AWAY: usize = 4;

/// The publisher's intake.
#[derive(Debug)]
pub struct Intake {
    room: Arc<Semaphore>,
    in_hand: Gauge,
    body_bytes: usize,
    wait: Duration,
    time: Duration,
}

/// A body, and its share of the room: to be kept until the call is answered.
#[derive(Debug)]
pub struct Taken {
    /// The body.
    pub bytes: Bytes,
    _share: Share,
}

/// A share of the room, given back when it is dropped.
#[derive(Debug)]
struct Share {
    in_hand: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.in_hand.dec();
    }
}

impl Intake {
    /// Room for `room` bytes of bodies at once, `body_bytes` of each. A call waits up to `wait` for room, and its body may
    /// take `time` to come in. `in_hand` counts those that have room.
    pub fn new(room: usize, body_bytes: usize, wait: Duration, time: Duration, in_hand: Gauge) -> Self {
        let units = units(room.max(body_bytes)) as usize;
        Self { room: Arc::new(Semaphore::new(units)), in_hand, body_bytes, wait, time }
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
        // A body that does not say its length may turn out to be as long as any.
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let expected = length.unwrap_or(self.body_bytes).min(self.body_bytes);
        let permit = timeout(self.wait, Arc::clone(&self.room).acquire_many_owned(units(expected))).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Refused::new(ErrorKind::Overloaded, "too many bodies are in hand already"));
        };
        self.in_hand.inc();
        let share = Share { in_hand: self.in_hand.clone(), _permit: permit };
        match timeout(self.time, read(body, self.body_bytes)).await {
            Ok(Ok(Some(bytes))) => Ok(Taken { bytes, _share: share }),
            Ok(Ok(None)) => {
                Err(Refused::new(ErrorKind::TooLarge, format!("a body is at most {} bytes", self.body_bytes)))
            }
            Ok(Err(_)) => Err(Refused::new(ErrorKind::InvalidField, "the body broke off")),
            Err(_) => {
                Err(Refused::new(ErrorKind::RequestTimeout, format!("the body did not come in within {:?}", self.time)))
            }
        }
    }
}

/// Reads a body of at most `cap` bytes; none: it is longer.
///
/// Of one that is longer, some more is read and thrown away: a caller that is still writing would not see the answer.
async fn read(body: Body, cap: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut pieces = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut seen = 0;
    while let Some(piece) = pieces.next().await.transpose()? {
        seen += piece.len();
        if seen <= cap {
            bytes.extend_from_slice(&piece);
        } else if seen <= cap * THROWN_AWAY {
            bytes = BytesMut::new();
        } else {
            break;
        }
    }
    Ok((seen <= cap).then(|| bytes.freeze()))
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const TIME: Duration = Duration::from_millis(50);

    fn pieces(count: usize) -> Body {
        Body::from_stream(stream::iter((0..count).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1_000]))))
    }

    async fn take(intake: &Intake, body: Body) -> Result<usize, ErrorKind> {
        intake.take(&HeaderMap::new(), body).await.map(|taken| taken.bytes.len()).map_err(|refused| refused.kind)
    }

    #[tokio::test]
    async fn bodies_are_taken_up_to_the_cap() {
        let intake = Intake::new(100_000, 10_000, TIME, TIME, Gauge::default());
        assert_eq!(take(&intake, Body::empty()).await, Ok(0));
        assert_eq!(take(&intake, pieces(10)).await, Ok(10_000));
        assert_eq!(take(&intake, pieces(11)).await, Err(ErrorKind::TooLarge));
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1_000])));
        assert_eq!(take(&intake, endless).await, Err(ErrorKind::TooLarge));
    }

    #[tokio::test]
    async fn room_is_shared_and_comes_free_again() {
        let intake = Intake::new(10_000, 10_000, TIME, TIME, Gauge::default());
        let first = intake.take(&HeaderMap::new(), pieces(1)).await.unwrap();
        assert_eq!(take(&intake, pieces(1)).await, Err(ErrorKind::Overloaded));
        drop(first);
        assert_eq!(take(&intake, pieces(1)).await, Ok(1_000));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_in_is_not_waited_for() {
        let intake = Intake::new(10_000, 10_000, TIME, TIME, Gauge::default());
        let stuck = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(take(&intake, stuck).await, Err(ErrorKind::RequestTimeout));
        let broken = Body::from_stream(stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("gone"))]));
        assert_eq!(take(&intake, broken).await, Err(ErrorKind::InvalidField));
    }
}
