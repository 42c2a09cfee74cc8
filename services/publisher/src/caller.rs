//! Who calls: the token of a request, and the tenant that the request is about.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::{NameError, Tenant};

use crate::app::App;
use crate::clock;
use crate::problem::Problem;
use crate::tokens::{Scope, Tenants, Token};

/// The header that names the tenant.
const TENANT: &str = "sealbus-tenant";

/// A caller with a valid token. Every endpoint of the API takes one; that is what keeps it closed.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its token.
    pub token: Arc<Token>,
    tenant: Option<String>,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let presented = bearer(&parts.headers)
            .ok_or_else(|| Problem::new(ErrorKind::Unauthenticated, "the header Authorization holds no bearer token"))?;
        let token = app.tokens.authenticate(presented, clock::now());
        let token = token.ok_or_else(|| Problem::new(ErrorKind::Unauthenticated, "the token is not known, or its time is over"))?;
        Ok(Self { token, tenant: single(&parts.headers, TENANT)? })
    }
}

impl Caller {
    /// Refuses a token without the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Refused> {
        if self.token.may(scope) {
            return Ok(());
        }
        Err(Refused::new(ErrorKind::Forbidden, format!("the token lacks the scope {}", scope.as_str())))
    }

    /// The tenant to read from: the header's where the token has it, else the token's default.
    pub fn reads(&self) -> Result<Tenant, Refused> {
        let named = self.named(Tenant::parse_any)?;
        self.resolve(named)
    }

    /// The tenant to publish to: the event's own or the header's where the token has it, else the token's default.
    pub fn publishes(&self, tenant_of_event: Option<&Tenant>) -> Result<Tenant, Refused> {
        let named = self.named(Tenant::parse)?;
        match (tenant_of_event, named) {
            (Some(event), Some(header)) if *event != header => {
                Err(Refused::field(ErrorKind::InvalidField, "/tenantid", "tenant", "is another tenant than the header Sealbus-Tenant names"))
            }
            (event, header) => self.resolve(event.cloned().or(header)),
        }
    }

    /// The tenants whose events the log shows; none: all. One where the header names it, else the token's.
    pub fn log(&self) -> Result<Option<Vec<Tenant>>, Refused> {
        if let Some(named) = self.named(Tenant::parse_any)? {
            return Ok(Some(vec![self.resolve(Some(named))?]));
        }
        match &self.token.tenants {
            Tenants::Some(tenants) if !self.token.may(Scope::LogRead) => Ok(Some(tenants.iter().cloned().collect())),
            _ => Ok(None),
        }
    }

    fn named(&self, parse: fn(&str) -> Result<Tenant, NameError>) -> Result<Option<Tenant>, Refused> {
        let Some(name) = &self.tenant else { return Ok(None) };
        parse(name).map(Some).map_err(|error| Refused::field(ErrorKind::InvalidName, "Sealbus-Tenant", "name", error.to_string()))
    }

    fn resolve(&self, named: Option<Tenant>) -> Result<Tenant, Refused> {
        match (named, &self.token.default_tenant) {
            (Some(tenant), _) if self.token.has(&tenant) => Ok(tenant),
            (Some(_), _) => Err(Refused::new(ErrorKind::CrossTenant, "the token does not have the tenant that is asked for")),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) => {
                let detail = "names the tenant, since the token has no default one";
                Err(Refused::field(ErrorKind::InvalidField, "Sealbus-Tenant", "required", detail))
            }
        }
    }
}

/// A header that stands at most once, as text.
///
/// # Errors
/// `invalid_field` where it stands twice or is not printable ASCII.
pub fn single(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(name).iter();
    let refuse = |rule, detail: &str| Refused::field(ErrorKind::InvalidField, name, rule, detail);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse("unique", "is given once"));
    }
    value.to_str().map(|text| Some(text.trim().to_owned())).map_err(|_| refuse("pattern", "is printable ASCII"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}
