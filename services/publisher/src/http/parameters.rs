//! Query parameters, headers, and the names in the path of a request. Unknown query parameters are refused by name.

use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::event::plain_uuid;
use sealbus_core::log::tile::{TileId, TilePathError};
use sealbus_core::names::{Plan, TypePattern};
use uuid::Uuid;

use crate::http::problem::Problem;

/// The number of items on a page if `limit` is not given.
const DEFAULT_LIMIT: u32 = 100;
/// The maximum number of items on a page. A larger `limit` is reduced to it, not refused.
const MAX_LIMIT: u32 = 1_000;
/// The maximum number of type patterns of a request. Each event that the page examines is compared with each of them.
const MAX_TYPE_PATTERNS: usize = 64;
/// The largest number in a request: the largest integer that every reader of JSON represents exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The query parameters that the endpoint has not read yet.
///
/// An endpoint reads the parameters that it knows, and then calls [`Parameters::finish`], which refuses the others.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        let pairs: Option<_> = pairs.collect();
        Ok(Self(pairs.ok_or_else(|| {
            let detail = "the query must be percent-encoded UTF-8 without control characters";
            Problem::new(ErrorKind::InvalidField, detail)
        })?))
    }
}

/// Decodes a name or value of a query, or returns `None` if it is not UTF-8 or has a control character. No parameter has one,
/// and Postgres takes no text with U+0000.
fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    (!decoded.chars().any(char::is_control)).then(|| decoded.into_owned())
}

/// Parses a seq, a log index or a number of items: digits only, at most 2^53-1.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= MAX_NUMBER)
}

impl Parameters {
    /// Takes a parameter that may be given at most once.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(invalid(name, "unique", "must be given at most once")) }
    }

    /// Takes a parameter that is a number by [`parse_number`].
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let refuse = || invalid(name, "type", "must be a non-negative integer of at most 9007199254740991");
        parse_number(&text).map(Some).ok_or_else(refuse)
    }

    /// Takes a parameter that is a plan's name or its beginning. It is empty if it is not given.
    pub(crate) fn plan_name(&mut self, name: &str) -> Result<String, Refused> {
        let text = self.text(name)?.unwrap_or_default();
        match Plan::parse_any(&text) {
            Err(error) if !text.is_empty() => {
                Err(Refused::field(ErrorKind::InvalidName, name, "name", error.to_string()))
            }
            _ => Ok(text),
        }
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

/// The event id in `/v1/events/{id}…`, in its canonical spelling: in another one it would be the id of another event.
#[derive(Debug)]
pub(crate) struct IdPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok().and_then(|Path(id)| plain_uuid(&id));
        Ok(Self(id.ok_or_else(|| invalid("id", "format", "must be the UUID of an event, in lower case with dashes"))?))
    }
}

/// The tile in `/log/tile/{*path}`.
#[derive(Debug)]
pub(crate) struct TilePath(pub TileId);

impl<S: Send + Sync> FromRequestParts<S> for TilePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refuse = |detail: &str| invalid("path", "format", detail);
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|error| refuse(&error.body_text()))?;
        let id = format!("tile/{path}").parse().map_err(|error: TilePathError| refuse(&error.to_string()))?;
        Ok(Self(id))
    }
}
