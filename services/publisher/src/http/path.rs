//! Names in a path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::Plan;
use uuid::Uuid;

use crate::http::problem::Problem;

/// The plan in `/v1/plans/{plan}/…`, one of the bus's own too.
#[derive(Debug)]
pub(crate) struct PlanPath(pub Plan);

impl<S: Send + Sync> FromRequestParts<S> for PlanPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refuse = |detail: String| Refused::field(ErrorKind::InvalidName, "plan", "name", detail);
        let name = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = name.map_err(|error| refuse(error.body_text()))?;
        Ok(Self(Plan::parse_any(&name).map_err(|error| refuse(error.to_string()))?))
    }
}

impl PlanPath {
    /// The plan, where callers may publish to it.
    pub(crate) fn publishable(self) -> Result<Plan, Refused> {
        let refuse = |error: sealbus_core::names::NameError| {
            Refused::field(ErrorKind::InvalidName, "plan", "name", error.to_string())
        };
        Plan::parse(self.0.as_str()).map_err(refuse)
    }
}

/// The id in `/v1/events/{id}…`.
#[derive(Debug)]
pub(crate) struct IdPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<Uuid>::from_request_parts(parts, state).await;
        let refuse = |_| Refused::field(ErrorKind::InvalidField, "id", "format", "is the UUID of an event");
        Ok(Self(id.map(|Path(id)| id).map_err(refuse)?))
    }
}
