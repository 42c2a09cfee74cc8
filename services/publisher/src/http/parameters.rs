//! The parameters of a query, taken one by one; what is left over is refused by name.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::TypePattern;

use crate::http::problem::Problem;

/// Items of a page where the caller does not say.
const DEFAULT_LIMIT: u32 = 100;
/// Items of a page at most: more is asked for in vain, not refused.
const MAX_LIMIT: u32 = 1_000;

/// What has not been taken yet of a query.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(pairs) =
            query.map_err(|_| Problem::new(ErrorKind::InvalidField, "the query is not of the form name=value&…"))?;
        Ok(Self(pairs))
    }
}

impl Parameters {
    /// A parameter that stands at most once.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(invalid(name, "unique", "is given once")) }
    }

    /// A whole number.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, "type", "is a whole number"))
    }

    /// `limit`: how many items the page holds.
    pub fn limit(&mut self) -> Result<u32, Refused> {
        match self.number("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(0) => Err(invalid("limit", "minimum", "is at least 1")),
            Some(limit) => Ok(u32::try_from(limit).unwrap_or(MAX_LIMIT).min(MAX_LIMIT)),
        }
    }

    /// `type`: patterns, between commas or given several times.
    pub fn types(&mut self) -> Result<Vec<TypePattern>, Refused> {
        let texts = self.all("type");
        let patterns = texts.iter().flat_map(|text| text.split(',')).map(TypePattern::parse);
        patterns
            .collect::<Result<_, _>>()
            .map_err(|error| Refused::field(ErrorKind::InvalidName, "type", "name", error.to_string()))
    }

    /// `order`: whether it is `desc`, not `asc`.
    pub fn descending(&mut self) -> Result<bool, Refused> {
        match self.text("order")?.as_deref() {
            None | Some("asc") => Ok(false),
            Some("desc") => Ok(true),
            Some(_) => Err(invalid("order", "enum", "is asc or desc")),
        }
    }

    /// Refuses what is left.
    pub fn end(self) -> Result<(), Refused> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(name, "unknown", "is no parameter of this path")),
        }
    }

    fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }
}

fn invalid(name: &str, rule: &str, detail: &str) -> Refused {
    Refused::field(ErrorKind::InvalidField, name, rule, detail)
}
