//! Names and ids in the path of a request.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::{NameError, Plan};
use uuid::Uuid;

use crate::http::problem::Problem;

/// The plan in `/v1/plans/{plan}/…`. Reserved plans, whose names begin with `_`, are allowed.
#[derive(Debug)]
pub(crate) struct PlanPath(pub Plan);

impl<S: Send + Sync> FromRequestParts<S> for PlanPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = name.map_err(|error| invalid_plan(error.body_text()))?;
        Ok(Self(Plan::parse_any(&name).map_err(|error: NameError| invalid_plan(error.to_string()))?))
    }
}

impl PlanPath {
    /// Returns the plan, or refuses a reserved plan, to which clients may not publish.
    pub(crate) fn publishable(self) -> Result<Plan, Refused> {
        Plan::parse(self.0.as_str()).map_err(|error: NameError| invalid_plan(error.to_string()))
    }
}

fn invalid_plan(detail: String) -> Refused {
    Refused::field(ErrorKind::InvalidName, "plan", "name", detail)
}

/// The event id in `/v1/events/{id}…`.
#[derive(Debug)]
pub(crate) struct IdPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<Uuid>::from_request_parts(parts, state).await;
        let Path(id) =
            id.map_err(|_| Refused::field(ErrorKind::InvalidField, "id", "format", "must be the UUID of an event"))?;
        Ok(Self(id))
    }
}
