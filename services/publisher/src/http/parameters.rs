//! Query parameters, headers, and the names in the path of a request. Unknown query parameters are refused by name.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::{Plan, TypePattern};
use uuid::Uuid;

use crate::http::problem::Problem;

/// The number of items on a page if `limit` is not given.
const DEFAULT_LIMIT: u32 = 100;
/// The maximum number of items on a page. A larger `limit` is reduced to it, not refused.
const MAX_LIMIT: u32 = 1_000;
/// The maximum number of type patterns of a request. Each event that the page examines is compared with each of them.
const MAX_TYPE_PATTERNS: usize = 64;

/// The query parameters that the endpoint has not read yet.
///
/// An endpoint reads the parameters that it knows, and then calls [`Parameters::finish`], which refuses the others.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|_| {
            Problem::new(ErrorKind::InvalidField, "the query string must have the form name=value&name=value")
        })?;
        Ok(Self(pairs))
    }
}

impl Parameters {
    /// Takes a parameter that may be given at most once.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(invalid(name, "unique", "must be given at most once")) }
    }

    /// Takes a parameter that is a non-negative integer.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, "type", "must be a non-negative integer"))
    }

    /// Takes `limit`, the maximum number of items on the page.
    pub(crate) fn limit(&mut self) -> Result<u32, Refused> {
        match self.number("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(0) => Err(invalid("limit", "minimum", "must be at least 1")),
            Some(limit) => Ok(u32::try_from(limit).unwrap_or(MAX_LIMIT).min(MAX_LIMIT)),
        }
    }

    /// Takes `type`: up to 64 type patterns, comma-separated or in several parameters.
    pub(crate) fn types(&mut self) -> Result<Vec<TypePattern>, Refused> {
        let texts = self.all("type");
        let patterns = texts.iter().flat_map(|text| text.split(','));
        if patterns.clone().count() > MAX_TYPE_PATTERNS {
            return Err(invalid("type", "maxItems", "must have at most 64 patterns"));
        }
        let patterns = patterns.map(TypePattern::parse);
        patterns
            .collect::<Result<_, _>>()
            .map_err(|error| Refused::field(ErrorKind::InvalidName, "type", "name", error.to_string()))
    }

    /// Takes `order`, and returns whether it is `desc`. The default is `asc`.
    pub(crate) fn descending(&mut self) -> Result<bool, Refused> {
        match self.text("order")?.as_deref() {
            None | Some("asc") => Ok(false),
            Some("desc") => Ok(true),
            Some(_) => Err(invalid("order", "enum", "must be asc or desc")),
        }
    }

    /// Refuses the first parameter that was not taken.
    pub(crate) fn finish(self) -> Result<(), Refused> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(name, "unknown", "unknown query parameter")),
        }
    }

    fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }
}

fn invalid(name: &str, rule: &str, detail: &str) -> Refused {
    Refused::field(ErrorKind::InvalidField, name, rule, detail)
}

/// Returns the value of a header that may be given at most once, without surrounding white space.
///
/// # Errors
/// `invalid_field` if the header is repeated or is not printable ASCII.
pub(crate) fn single_header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(name, "unique", "must be given at most once"));
    }
    let text = value.to_str().map_err(|_| invalid(name, "pattern", "must be printable ASCII"))?;
    Ok(Some(text.trim().to_owned()))
}

/// The plan in `/v1/plans/{plan}/…`. Reserved plans, whose names begin with `_`, are allowed.
#[derive(Debug)]
pub(crate) struct PlanPath(pub Plan);

impl<S: Send + Sync> FromRequestParts<S> for PlanPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = name.map_err(|error| invalid_plan(error.body_text()))?;
        Ok(Self(Plan::parse_any(&name).map_err(|error| invalid_plan(error.to_string()))?))
    }
}

impl PlanPath {
    /// Returns the plan, or refuses a reserved plan, to which clients may not publish.
    pub(crate) fn publishable(self) -> Result<Plan, Refused> {
        Plan::parse(self.0.as_str()).map_err(|error| invalid_plan(error.to_string()))
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
        let Path(id) = id.map_err(|_| invalid("id", "format", "must be the UUID of an event"))?;
        Ok(Self(id))
    }
}
