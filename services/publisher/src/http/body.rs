//! Reading request bodies: each within a cap, and all of them within a budget of memory that the tokens share.
//!
//! Memory is reserved as the bytes arrive, so that a body that is announced and not sent takes none of it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures::StreamExt as _;
use prometheus_client::metrics::gauge::Gauge;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::request::{MEMORY_PER_BYTE, MEMORY_PER_EVENT};
use sealbus_ledger::append::MAX_EVENTS;
use sealbus_runtime::memory::{Budget, Reservation};
use tokio::time::timeout;

use super::memory::{Counted, WAIT_FOR_MEMORY};

/// The memory that a call takes at least. It also limits how many connections the calls of one token can occupy.
const CALL_BYTES: usize = 64 * 1024;
/// The most bodies of one token that wait for memory. Each has a connection, also when its client has gone: that is noticed only where
/// the body is read.
const MAX_WAITING: usize = 64;
/// An oversized body is read and discarded up to this multiple of the cap.
const DISCARD_FACTOR: usize = 4;

/// How long a client may take to send a body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads request bodies within their limits.
#[derive(Debug)]
pub(crate) struct BodyReader {
    max_body_bytes: usize,
    memory: Budget,
    in_flight: Gauge,
    wait_timeout: Duration,
    read_timeout: Duration,
}

/// A request body, and the memory for it and for its answer.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    /// The bytes of the body.
    pub bytes: Bytes,
    /// The memory, which is kept until the answer is written.
    pub memory: Reservation,
    /// Counts the body until its request is answered.
    pub in_flight: Counted,
}

impl BodyReader {
    /// Creates a reader of bodies of up to `max_body_bytes` each. `in_flight` counts the bodies that hold memory.
    pub(crate) fn new(max_body_bytes: usize, memory: Budget, in_flight: Gauge) -> Self {
        Self { max_body_bytes, memory, in_flight, wait_timeout: WAIT_FOR_MEMORY, read_timeout: READ_TIMEOUT }
    }

    /// Reads a body that a client sends whose token has this name.
    ///
    /// # Errors
    /// - `unsupported_media_type`: the body has a `Content-Encoding`.
    /// - `overloaded`: there was no memory for the body, or for its next bytes, for the wait timeout, or 64 bodies of the token wait.
    /// - `too_large`: the body exceeds the cap.
    /// - `request_timeout`: the client did not send the body in time.
    /// - `invalid_field`: the connection ended in the middle of the body.
    pub(crate) async fn read(&self, token: &str, headers: &HeaderMap, body: Body) -> Result<ReceivedBody, Refused> {
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            let detail = "request bodies with a Content-Encoding are not supported";
            return Err(Refused::new(ErrorKind::UnsupportedMediaType, detail));
        }
        if self.memory.waiting(token) >= MAX_WAITING {
            return Err(overloaded());
        }
        let memory = self.memory.reserve(token, CALL_BYTES, self.wait_timeout).await;
        let mut memory = memory.map_err(|_| overloaded())?;
        let in_flight = Counted::new(&self.in_flight);
        let read_timeout = self.read_timeout;
        let bytes = timeout(read_timeout, self.collect(body, &mut memory)).await.map_err(|_| {
            let detail = format!("the request body was not received within {read_timeout:?}");
            Refused::new(ErrorKind::RequestTimeout, detail)
        })??;
        Ok(ReceivedBody { bytes, memory, in_flight })
    }

    /// Collects the bytes of a body, and reserves memory for them as they arrive.
    ///
    /// Part of a body above the cap is read and discarded, because a client that is still writing does not read the response.
    async fn collect(&self, body: Body, memory: &mut Reservation) -> Result<Bytes, Refused> {
        let cap = self.max_body_bytes;
        let mut chunks = body.into_data_stream();
        let mut bytes = BytesMut::new();
        let mut received = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| {
                Refused::new(ErrorKind::InvalidField, "the connection ended before the request body was complete")
            })?;
            received += chunk.len();
            if received <= cap {
                self.hold(received * MEMORY_PER_BYTE, memory).await?;
                bytes.extend_from_slice(&chunk);
            } else if received <= cap * DISCARD_FACTOR {
                bytes = BytesMut::new();
                memory.shrink_to(CALL_BYTES);
            } else {
                break;
            }
        }
        if received > cap {
            return Err(Refused::new(
                ErrorKind::TooLarge,
                format!("the request body exceeds the limit of {cap} bytes"),
            ));
        }
        // Each event begins with a brace.
        let events = (bytes[..].split(|byte| *byte == b'{').count() - 1).min(MAX_EVENTS);
        self.hold(received * MEMORY_PER_BYTE + events * MEMORY_PER_EVENT, memory).await?;
        Ok(bytes.freeze())
    }

    /// Lets a body hold this much memory, if it does not hold more.
    async fn hold(&self, bytes: usize, memory: &mut Reservation) -> Result<(), Refused> {
        let missing = bytes.saturating_sub(memory.bytes());
        memory.grow(missing, self.wait_timeout).await.map_err(|_| overloaded())
    }
}

fn overloaded() -> Refused {
    Refused::new(ErrorKind::Overloaded, "there is no memory for further request bodies; retry later")
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::stream;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn reader(memory_bytes: usize) -> BodyReader {
        let reader = BodyReader::new(10_000, Budget::new("tests", memory_bytes), Gauge::default());
        BodyReader { wait_timeout: SHORT, read_timeout: Duration::from_mins(1), ..reader }
    }

    /// Returns a body of `count` chunks of 1,000 bytes.
    fn chunks(count: usize) -> Body {
        Body::from_stream(stream::iter((0..count).map(|_| Ok::<_, io::Error>(vec![b'x'; 1_000]))))
    }

    async fn read(reader: &BodyReader, name: &str, body: Body) -> Result<usize, ErrorKind> {
        let read = reader.read(name, &HeaderMap::new(), body).await;
        read.map(|body| body.bytes.len()).map_err(|refused| refused.kind)
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_cap() {
        let reader = reader(1 << 20);
        assert_eq!(read(&reader, "a", Body::empty()).await, Ok(0));
        assert_eq!(read(&reader, "a", chunks(10)).await, Ok(10_000));
        assert_eq!(read(&reader, "a", chunks(11)).await, Err(ErrorKind::TooLarge));
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(vec![b'x'; 1_000])));
        assert_eq!(read(&reader, "a", endless).await, Err(ErrorKind::TooLarge));
        assert_eq!(reader.memory.reserved(), 0);
    }

    #[tokio::test]
    async fn a_dropped_body_returns_its_memory_to_the_budget() {
        let reader = reader(2 * 10_000 * MEMORY_PER_BYTE);
        let first = reader.read("a", &HeaderMap::new(), chunks(10)).await.unwrap();
        assert_eq!(first.memory.bytes(), 10_000 * MEMORY_PER_BYTE);
        assert_eq!(read(&reader, "a", chunks(1)).await, Err(ErrorKind::Overloaded));
        drop(first);
        assert_eq!(read(&reader, "a", chunks(1)).await, Ok(1_000));
    }

    #[tokio::test]
    async fn slow_bodies_of_one_token_do_not_affect_a_small_one_of_another() {
        let reader = reader(1 << 20);
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, "10000".parse().unwrap())]);
        // Of each body one byte arrives, and nothing more.
        let slow = (0..64).map(|_| {
            let first = stream::iter([Ok::<_, io::Error>(vec![b'x'])]);
            reader.read("slow", &headers, Body::from_stream(first.chain(stream::pending())))
        });
        let slow = futures::future::join_all(slow);
        let small = async {
            // Each of these polls lets the slow bodies take what they can get.
            while reader.memory.reserved() < (1 << 20) / 2 - CALL_BYTES {
                tokio::task::yield_now().await;
            }
            for _ in 0..10 {
                assert_eq!(read(&reader, "small", chunks(1)).await, Ok(1_000));
            }
        };
        tokio::select! {
            biased;
            _ = slow => panic!("a slow body was read"),
            () = small => {}
        }
    }

    #[tokio::test]
    async fn a_body_is_refused_at_once_while_many_of_its_token_wait() {
        let reader = BodyReader { wait_timeout: Duration::from_hours(1), ..reader(2 * CALL_BYTES) };
        let _first = reader.memory.try_reserve("a", CALL_BYTES).unwrap();
        let waiting = futures::future::join_all((0..MAX_WAITING).map(|_| read(&reader, "a", chunks(1))));
        let others = async {
            while reader.memory.waiting("a") < MAX_WAITING {
                tokio::task::yield_now().await;
            }
            assert_eq!(read(&reader, "a", chunks(1)).await, Err(ErrorKind::Overloaded));
            assert_eq!(reader.memory.waiting("b"), 0);
        };
        tokio::select! {
            biased;
            _ = waiting => panic!("there is no memory"),
            () = others => {}
        }
    }

    #[tokio::test]
    async fn a_body_that_stalls_times_out() {
        let reader = BodyReader { read_timeout: SHORT, ..reader(1 << 20) };
        let stalled = Body::from_stream(stream::pending::<Result<Vec<u8>, io::Error>>());
        assert_eq!(read(&reader, "a", stalled).await, Err(ErrorKind::RequestTimeout));
        let broken = Body::from_stream(stream::iter([Err::<Vec<u8>, _>(io::Error::other("gone"))]));
        assert_eq!(read(&reader, "a", broken).await, Err(ErrorKind::InvalidField));
    }
}
