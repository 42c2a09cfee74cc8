//! Reading request bodies under two caps, one per body and one for all bodies in flight, so that memory does not grow with
//! the number of clients.

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

/// The bytes that one permit of the memory budget stands for.
const BYTES_PER_PERMIT: usize = 1_024;
/// An oversized body is read and discarded up to this multiple of the cap.
const DISCARD_FACTOR: usize = 4;

/// How long a request waits for memory for its body before it is refused as `overloaded`.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take to send a body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads request bodies within their limits.
#[derive(Debug)]
pub(crate) struct BodyReader {
    max_body_bytes: usize,
    budget: Arc<Semaphore>,
    in_flight: Gauge,
    wait_timeout: Duration,
    read_timeout: Duration,
}

/// A request body with its reservation of the memory budget. It is kept until the request is answered.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    /// The bytes of the body.
    pub bytes: Bytes,
    _reservation: CountedPermit,
}

/// Permits of a semaphore that a gauge counts as one until they are returned on drop.
#[derive(Debug)]
pub(crate) struct CountedPermit {
    gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl CountedPermit {
    /// Increments the gauge.
    pub(crate) fn new(permit: OwnedSemaphorePermit, gauge: &Gauge) -> Self {
        gauge.inc();
        Self { gauge: gauge.clone(), _permit: permit }
    }
}

impl Drop for CountedPermit {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl BodyReader {
    /// Creates a reader of bodies of up to `max_body_bytes` each and `max_bytes_in_flight` together, but at least one of the
    /// maximum size. `in_flight` counts the bodies that hold memory.
    pub(crate) fn new(max_body_bytes: usize, max_bytes_in_flight: usize, in_flight: Gauge) -> Self {
        let permits = memory_permits(max_bytes_in_flight.max(max_body_bytes)) as usize;
        Self {
            max_body_bytes,
            budget: Arc::new(Semaphore::new(permits)),
            in_flight,
            wait_timeout: WAIT_TIMEOUT,
            read_timeout: READ_TIMEOUT,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// - `unsupported_media_type`: the body has a `Content-Encoding`.
    /// - `overloaded`: the memory budget stayed exhausted for the wait timeout.
    /// - `too_large`: the body exceeds the cap.
    /// - `request_timeout`: the client did not send the body in time.
    /// - `invalid_field`: the connection ended in the middle of the body.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<ReceivedBody, Refused> {
        let Self { max_body_bytes, wait_timeout, read_timeout, .. } = *self;
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            let detail = "request bodies with a Content-Encoding are not supported";
            return Err(Refused::new(ErrorKind::UnsupportedMediaType, detail));
        }
        // A body without a Content-Length may turn out to be as long as the cap.
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let expected_bytes = length.unwrap_or(max_body_bytes).min(max_body_bytes);
        let permit =
            timeout(wait_timeout, Arc::clone(&self.budget).acquire_many_owned(memory_permits(expected_bytes))).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Refused::new(ErrorKind::Overloaded, "too many request bodies are in flight"));
        };
        let reservation = CountedPermit::new(permit, &self.in_flight);
        let refuse = |kind, detail: String| Err(Refused::new(kind, detail));
        match timeout(read_timeout, collect(body, max_body_bytes)).await {
            Ok(Ok(Some(bytes))) => Ok(ReceivedBody { bytes, _reservation: reservation }),
            Ok(Ok(None)) => {
                refuse(ErrorKind::TooLarge, format!("the request body exceeds the limit of {max_body_bytes} bytes"))
            }
            Ok(Err(_)) => {
                refuse(ErrorKind::InvalidField, "the connection ended before the request body was complete".to_owned())
            }
            Err(_) => {
                refuse(ErrorKind::RequestTimeout, format!("the request body was not received within {read_timeout:?}"))
            }
        }
    }
}

/// Collects a body of at most `cap` bytes. Returns `None` if it is longer.
///
/// Part of a longer body is read and discarded, because a client that is still writing does not read the response.
async fn collect(body: Body, cap: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut received = 0;
    while let Some(chunk) = chunks.next().await.transpose()? {
        received += chunk.len();
        if received <= cap {
            bytes.extend_from_slice(&chunk);
        } else if received <= cap * DISCARD_FACTOR {
            bytes = BytesMut::new();
        } else {
            break;
        }
    }
    Ok((received <= cap).then(|| bytes.freeze()))
}

/// Returns the permits of a memory budget for this number of bytes. At most 4 TiB, which exceeds any budget.
pub(crate) fn memory_permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_PERMIT).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn reader(max_bytes_in_flight: usize) -> BodyReader {
        let short = Duration::from_millis(50);
        let reader = BodyReader::new(10_000, max_bytes_in_flight, Gauge::default());
        BodyReader { wait_timeout: short, read_timeout: short, ..reader }
    }

    /// Returns a body of `count` chunks of 1,000 bytes.
    fn chunks(count: usize) -> Body {
        Body::from_stream(stream::iter((0..count).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1_000]))))
    }

    async fn read(reader: &BodyReader, body: Body) -> Result<usize, ErrorKind> {
        reader.read(&HeaderMap::new(), body).await.map(|body| body.bytes.len()).map_err(|refused| refused.kind)
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_cap() {
        let reader = reader(100_000);
        assert_eq!(read(&reader, Body::empty()).await, Ok(0));
        assert_eq!(read(&reader, chunks(10)).await, Ok(10_000));
        assert_eq!(read(&reader, chunks(11)).await, Err(ErrorKind::TooLarge));
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1_000])));
        assert_eq!(read(&reader, endless).await, Err(ErrorKind::TooLarge));
    }

    #[tokio::test]
    async fn a_dropped_body_returns_its_memory_to_the_budget() {
        let reader = reader(10_000);
        let first = reader.read(&HeaderMap::new(), chunks(1)).await.unwrap();
        assert_eq!(read(&reader, chunks(1)).await, Err(ErrorKind::Overloaded));
        drop(first);
        assert_eq!(read(&reader, chunks(1)).await, Ok(1_000));
    }

    #[tokio::test]
    async fn a_body_that_stalls_times_out() {
        let reader = reader(10_000);
        let stalled = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(read(&reader, stalled).await, Err(ErrorKind::RequestTimeout));
        let broken = Body::from_stream(stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("gone"))]));
        assert_eq!(read(&reader, broken).await, Err(ErrorKind::InvalidField));
    }
}
