//! Who calls: the token of a request, and the tenant that the request is about.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::{NameError, Tenant};

use crate::app::App;
use crate::auth::tokens::{Scope, Tenants, Token};
use crate::http::problem::Problem;

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
        let presented = bearer(&parts.headers).ok_or_else(|| {
            Problem::new(ErrorKind::Unauthenticated, "the header Authorization holds no bearer token")
        })?;
        let token = app.tokens.authenticate(presented, app.clock.now());
        let token = token
            .ok_or_else(|| Problem::new(ErrorKind::Unauthenticated, "the token is not known, or its time is over"))?;
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
            (Some(event), Some(header)) if *event != header => Err(Refused::field(
                ErrorKind::InvalidField,
                "/tenantid",
                "tenant",
                "is another tenant than the header Sealbus-Tenant names",
            )),
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
        parse(name)
            .map(Some)
            .map_err(|error| Refused::field(ErrorKind::InvalidName, "Sealbus-Tenant", "name", error.to_string()))
    }

    fn resolve(&self, named: Option<Tenant>) -> Result<Tenant, Refused> {
        match (named, &self.token.default_tenant) {
            (Some(tenant), _) if self.token.has(&tenant) => Ok(tenant),
            (Some(_), _) => {
                Err(Refused::new(ErrorKind::CrossTenant, "the token does not have the tenant that is asked for"))
            }
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

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use sealbus_testkit::eventually;
    use serde_json::json;

    use crate::tests::support::{Publisher, answer, token_file};

    #[tokio::test]
    async fn each_call_needs_its_scope() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        let event = stored.header("location").to_owned();
        let data = format!("{event}/data");
        let reading = [
            "/v1/plans",
            "/v1/plans/p/events",
            "/v1/plans/p/head",
            "/v1/events",
            &event,
            &data,
            "/v1/plans/p/events/stream",
            "/v1/events/stream",
        ];
        for path in reading {
            publisher.get(path, "writer").await.is_problem("forbidden");
            let read = publisher.call(Method::GET, path, "reader").send().await.unwrap();
            assert_eq!(read.status(), 200, "{path}");
        }
        for token in ["writer", "reader"] {
            assert_eq!(publisher.get("/v1/catalog", token).await.status, 200, "{token}");
            publisher.get("/v1/plans/p/verification", token).await.is_problem("forbidden");
        }
        for path in ["/v1/plans/p/events", "/v1/events"] {
            let call =
                publisher.call(Method::POST, path, "reader").header("content-type", "application/json").body("{}");
            answer(call).await.is_problem("forbidden");
        }
        let refused = publisher.publish("p", &json!({ "type": "any.a", "actor": "user:17" })).await;
        refused.is_field_problem("forbidden", "/actor", "scope");
        let call = publisher.call(Method::POST, "/v1/plans/p/events", "both").header("sealbus-tenant", "acme");
        let named = answer(call.json(&json!({ "type": "any.a", "actor": "user:17" }))).await;
        assert_eq!(
            (&named.body["actor"], &named.body["metadata"]["sealbus"]["by"]),
            (&json!("user:17"), &json!("both"))
        );
    }

    #[tokio::test]
    async fn no_tenant_sees_or_touches_another_s() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a", "data": "acme's own" })).await;
        publisher.seal().await;
        let event = stored.header("location").to_owned();
        for path in [
            "/v1/plans",
            "/v1/plans/p/events",
            "/v1/events",
            "/v1/plans/p/head",
            "/v1/plans/p/verification",
            &event,
            &format!("{event}/data"),
        ] {
            let own = publisher.get(path, "other").await;
            assert!(!String::from_utf8_lossy(&own.bytes).contains("acme"), "{path}: {own:?}");
            let asked = publisher.call(Method::GET, path, "other").header("sealbus-tenant", "acme");
            answer(asked).await.is_problem("cross_tenant");
        }
        for stream in ["/v1/plans/p/events/stream", "/v1/events/stream"] {
            let asked = publisher.call(Method::GET, stream, "other").header("sealbus-tenant", "acme");
            answer(asked).await.is_problem("cross_tenant");
        }
        let call = publisher.call(Method::POST, "/v1/plans/p/events", "other").header("sealbus-tenant", "acme");
        answer(call.json(&json!({ "type": "any.a" }))).await.is_problem("cross_tenant");
        assert_eq!(publisher.trail("p").await.len(), 1);
    }

    #[tokio::test]
    async fn a_token_without_a_default_tenant_names_one() {
        let publisher = Publisher::start().await;
        let publish = async |tenant: Option<&str>| {
            let call = publisher.call(Method::POST, "/v1/plans/p/events", "both").json(&json!({ "type": "any.a" }));
            answer(tenant.into_iter().fold(call, |call, tenant| call.header("sealbus-tenant", tenant))).await
        };
        publish(None).await.is_field_problem("invalid_field", "Sealbus-Tenant", "required");
        assert_eq!(publish(Some("other")).await.body["tenant"], "other");
        assert_eq!(publish(Some("acme")).await.body["tenant"], "acme");
        publish(Some("third")).await.is_problem("cross_tenant");
        publisher.get("/v1/plans", "both").await.is_field_problem("invalid_field", "Sealbus-Tenant", "required");
    }

    #[tokio::test]
    async fn all_tenants_are_an_operator_s_the_bus_s_own_too() {
        let publisher = Publisher::start().await;
        let keys = async |token: &str| {
            answer(publisher.call(Method::GET, "/v1/plans/_keys/events", token).header("sealbus-tenant", "_system"))
                .await
        };
        assert_eq!(keys("operator").await.body["events"][0]["type"], "key.added");
        keys("acme").await.is_problem("cross_tenant");
        let call = publisher.call(Method::POST, "/v1/plans/p/events", "operator").header("sealbus-tenant", "_system");
        answer(call.json(&json!({ "type": "any.a" }))).await.is_problem("invalid_name");
    }

    #[tokio::test]
    async fn a_token_that_is_taken_away_counts_no_more() {
        let publisher = Publisher::start().await;
        assert_eq!(publisher.get("/v1/plans", "reader").await.status, 200);
        let mut stream = publisher.stream("/v1/plans/p/events/stream", "reader", None).await;
        let file = publisher.tokens.path().join("tokens.json");
        std::fs::write(
            file,
            token_file().replace(
                &crate::auth::tokens::hash("reader").to_string(),
                &crate::auth::tokens::hash("anew").to_string(),
            ),
        )
        .unwrap();
        eventually("the old token is refused", async || publisher.get("/v1/plans", "reader").await.status == 401).await;
        assert_eq!(publisher.get("/v1/plans", "anew").await.status, 200);
        assert_eq!(stream.next().await, None, "its streams end");
    }
}
