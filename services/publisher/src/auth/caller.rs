//! The client of a request: its token, and the tenant that the request is about.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::names::{NameError, Tenant};

use crate::auth::token::{Scope, Tenants, Token};
use crate::auth::tokens::Tokens;
use crate::http::{Problem, single_header};

/// The header that names the tenant.
const TENANT_HEADER: &str = "sealbus-tenant";

/// An authenticated client. Every endpoint of the API extracts one, and so requires a valid token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The client's token.
    pub token: Arc<Token>,
    tenant_header: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Tokens: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unauthenticated = |detail| Problem::new(ErrorKind::Unauthenticated, detail);
        let presented = bearer_token(&parts.headers)
            .ok_or_else(|| unauthenticated("the Authorization header does not hold a bearer token"))?;
        let token = Tokens::from_ref(state)
            .authenticate(presented)
            .ok_or_else(|| unauthenticated("the token is unknown or has expired"))?;
        Ok(Self { token, tenant_header: single_header(&parts.headers, TENANT_HEADER)? })
    }
}

impl Caller {
    /// Refuses the request with `forbidden` unless the token has the scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Refused> {
        if self.token.has_scope(scope) {
            return Ok(());
        }
        Err(Refused::new(ErrorKind::Forbidden, format!("the token lacks the scope {scope}")))
    }

    /// Returns the tenant to read from: the one in the `Sealbus-Tenant` header, otherwise the token's default.
    ///
    /// # Errors
    /// `invalid_name`, `cross_tenant` if the token lacks the tenant, `invalid_field` if no tenant is named.
    pub(crate) fn tenant_to_read(&self) -> Result<Tenant, Refused> {
        let named = self.tenant_in_header(Tenant::parse_any)?;
        self.authorize(named)
    }

    /// Returns the tenant to publish to: the event's own or the one in the `Sealbus-Tenant` header, otherwise the token's
    /// default. Reserved tenants are refused.
    ///
    /// # Errors
    /// The errors of [`Caller::tenant_to_read`], and `invalid_field` if event and header name different tenants.
    pub(crate) fn tenant_to_publish(&self, tenant_of_event: Option<&Tenant>) -> Result<Tenant, Refused> {
        let named = self.tenant_in_header(Tenant::parse)?;
        match (tenant_of_event, named) {
            (Some(event), Some(header)) if *event != header => {
                let detail = "must be the same tenant as in the Sealbus-Tenant header";
                Err(Refused::field(ErrorKind::InvalidField, "/tenantid", "tenant", detail))
            }
            (event, header) => self.authorize(event.cloned().or(header)),
        }
    }

    /// Returns the tenants whose events the client sees in the log, or `None` for all tenants.
    ///
    /// The `Sealbus-Tenant` header restricts them to one tenant. Without it they are the token's tenants, or all tenants if
    /// the token has the scope `log.read`. [`Reading`](crate::read::Reading) shows no data of tenants that the token lacks.
    pub(crate) fn tenants_in_log(&self) -> Result<Option<Vec<Tenant>>, Refused> {
        if let Some(named) = self.tenant_in_header(Tenant::parse_any)? {
            return Ok(Some(vec![self.authorize(Some(named))?]));
        }
        match &self.token.tenants {
            Tenants::Some(tenants) if !self.token.has_scope(Scope::LogRead) => {
                Ok(Some(tenants.iter().cloned().collect()))
            }
            _ => Ok(None),
        }
    }

    fn tenant_in_header(&self, parse: fn(&str) -> Result<Tenant, NameError>) -> Result<Option<Tenant>, Refused> {
        let Some(name) = &self.tenant_header else { return Ok(None) };
        parse(name)
            .map(Some)
            .map_err(|error| Refused::field(ErrorKind::InvalidName, "Sealbus-Tenant", "name", error.to_string()))
    }

    /// Returns the named tenant if the token has it, or the token's default tenant if none is named.
    fn authorize(&self, named: Option<Tenant>) -> Result<Tenant, Refused> {
        match (named, &self.token.default_tenant) {
            (Some(tenant), _) if self.token.has_tenant(&tenant) => Ok(tenant),
            (Some(_), _) => {
                Err(Refused::new(ErrorKind::CrossTenant, "the token does not grant access to the requested tenant"))
            }
            (None, Some(default)) => Ok(default.clone()),
            (None, None) => {
                let detail = "required, because this token has no default tenant";
                Err(Refused::field(ErrorKind::InvalidField, "Sealbus-Tenant", "required", detail))
            }
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use sealbus_core::hash::Hash;
    use sealbus_testkit::eventually;
    use serde_json::json;

    use crate::tests::support::{Publisher, send, token_file};

    #[tokio::test]
    async fn each_endpoint_requires_its_scope() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a" })).await;
        let event = stored.header("location").to_owned();
        let data = format!("{event}/data");

        // Reading requires `read`.
        let paths = [
            "/v1/plans",
            "/v1/plans/p/events",
            "/v1/plans/p/head",
            "/v1/events",
            &event,
            &data,
            "/v1/plans/p/events/stream",
            "/v1/events/stream",
        ];
        for path in paths {
            publisher.get(path, "writer").await.assert_problem("forbidden");
            let read = publisher.request_as(Method::GET, path, "reader").send().await.unwrap();
            assert_eq!(read.status(), 200, "{path}");
        }

        // The catalog requires `publish` or `read`; verification requires `verify`.
        for token in ["writer", "reader"] {
            assert_eq!(publisher.get("/v1/catalog", token).await.status, 200, "{token}");
            publisher.get("/v1/plans/p/verification", token).await.assert_problem("forbidden");
        }

        // Publishing requires `publish`.
        for path in ["/v1/plans/p/events", "/v1/events"] {
            let request = publisher.request_as(Method::POST, path, "reader");
            let request = request.header("content-type", "application/json").body("{}");
            send(request).await.assert_problem("forbidden");
        }

        // Naming an actor requires `actor.any`.
        let refused = publisher.publish("p", &json!({ "type": "any.a", "actor": "user:17" })).await;
        refused.assert_field_problem("forbidden", "/actor", "scope");
        let request = publisher.request_as(Method::POST, "/v1/plans/p/events", "both").header("sealbus-tenant", "acme");
        let stored = send(request.json(&json!({ "type": "any.a", "actor": "user:17" }))).await;
        assert_eq!(
            (&stored.body["actor"], &stored.body["metadata"]["sealbus"]["by"]),
            (&json!("user:17"), &json!("both"))
        );
    }

    #[tokio::test]
    async fn a_token_can_neither_read_nor_publish_to_another_tenant() {
        let publisher = Publisher::start().await;
        let stored = publisher.publish("p", &json!({ "type": "any.a", "data": "acme's own" })).await;
        publisher.seal().await;
        let event = stored.header("location").to_owned();

        // Without the header, the token sees its own tenant. With it, the request is refused.
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
            assert!(
                !String::from_utf8_lossy(&own.bytes).contains("acme"),
                "{path} shows another tenant's event: {own:?}"
            );
            let request = publisher.request_as(Method::GET, path, "other").header("sealbus-tenant", "acme");
            send(request).await.assert_problem("cross_tenant");
        }
        for stream in ["/v1/plans/p/events/stream", "/v1/events/stream"] {
            let request = publisher.request_as(Method::GET, stream, "other").header("sealbus-tenant", "acme");
            send(request).await.assert_problem("cross_tenant");
        }

        // Publishing is refused too.
        let request =
            publisher.request_as(Method::POST, "/v1/plans/p/events", "other").header("sealbus-tenant", "acme");
        send(request.json(&json!({ "type": "any.a" }))).await.assert_problem("cross_tenant");
        assert_eq!(publisher.events_of("p").await.len(), 1);
    }

    #[tokio::test]
    async fn a_token_without_a_default_tenant_has_to_name_one() {
        let publisher = Publisher::start().await;
        let publish = async |tenant: Option<&str>| {
            let request =
                publisher.request_as(Method::POST, "/v1/plans/p/events", "both").json(&json!({ "type": "any.a" }));
            send(tenant.into_iter().fold(request, |request, tenant| request.header("sealbus-tenant", tenant))).await
        };
        publish(None).await.assert_field_problem("invalid_field", "Sealbus-Tenant", "required");
        assert_eq!(publish(Some("other")).await.body["tenant"], "other");
        assert_eq!(publish(Some("acme")).await.body["tenant"], "acme");
        publish(Some("third")).await.assert_problem("cross_tenant");
        publisher.get("/v1/plans", "both").await.assert_field_problem("invalid_field", "Sealbus-Tenant", "required");
    }

    #[tokio::test]
    async fn a_token_for_all_tenants_reads_reserved_tenants_and_does_not_publish_to_them() {
        let publisher = Publisher::start().await;
        let keys = async |token: &str| {
            let request = publisher.request_as(Method::GET, "/v1/plans/_keys/events", token);
            send(request.header("sealbus-tenant", "_system")).await
        };
        assert_eq!(keys("operator").await.body["events"][0]["type"], "key.added");
        keys("acme").await.assert_problem("cross_tenant");
        let request = publisher.request_as(Method::POST, "/v1/plans/p/events", "operator");
        let request = request.header("sealbus-tenant", "_system").json(&json!({ "type": "any.a" }));
        send(request).await.assert_problem("invalid_name");
    }

    #[tokio::test]
    async fn a_removed_token_is_refused_and_its_streams_end() {
        let publisher = Publisher::start().await;
        assert_eq!(publisher.get("/v1/plans", "reader").await.status, 200);
        let mut stream = publisher.stream("/v1/plans/p/events/stream", "reader", None).await;

        // Replace the token.
        let file = publisher.token_folder.path().join("tokens.json");
        std::fs::write(
            file,
            token_file().replace(&Hash::of(b"reader").to_string(), &Hash::of(b"replacement").to_string()),
        )
        .unwrap();
        eventually("the old token is refused", async || publisher.get("/v1/plans", "reader").await.status == 401).await;
        assert_eq!(publisher.get("/v1/plans", "replacement").await.status, 200);
        assert_eq!(stream.next().await, None);
    }
}
