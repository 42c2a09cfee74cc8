//! The one place where this service asks for fresh ids and for randomness.

use sealbus_core::error::ErrorKind;
use uuid::Uuid;

use crate::http::problem::Problem;

/// An id for an event that comes without one.
pub(crate) fn fresh_id() -> Uuid {
    Uuid::now_v7()
}

/// The name of a new data key: it says nothing, not even when it was made.
pub(crate) fn random_id() -> Uuid {
    Uuid::new_v4()
}

/// Bytes of the system's generator, for keys and nonces.
///
/// # Errors
/// `internal`, where the system gives none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(error = error.to_string(), "the system gives no randomness");
        Problem::new(ErrorKind::Internal, "the system gives no randomness")
    })?;
    Ok(bytes)
}
