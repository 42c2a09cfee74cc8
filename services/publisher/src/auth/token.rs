//! A token and what it grants.

use std::collections::BTreeSet;
use std::fmt;

use sealbus_core::hash::Hash;
use sealbus_core::names::Tenant;
use sealbus_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// A permission that a token grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Publish events.
    Publish,
    /// Read events of the token's tenants, and the catalog.
    Read,
    /// Request the verification of a plan.
    Verify,
    /// Read the log of all tenants.
    #[serde(rename = "log.read")]
    LogRead,
    /// Publish events with an actor other than the token's name.
    #[serde(rename = "actor.any")]
    ActorAny,
    /// Read the plaintext of encrypted payloads that the token may read.
    #[serde(rename = "payload.open")]
    PayloadOpen,
    /// Operate the bus.
    Admin,
}

/// The scope's name in the token file.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The tenants that a token grants access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tenants {
    /// All present and future tenants, including the reserved ones.
    All,
    /// The listed tenants.
    Some(BTreeSet<Tenant>),
}

/// An entry of the token file. It holds the hash of the token, not the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The token's name, which is the actor of the events that it publishes.
    pub name: String,
    /// The tenants that it grants access to.
    pub tenants: Tenants,
    /// The tenant of requests that name none.
    pub default_tenant: Option<Tenant>,
    /// The permissions that it grants.
    pub scopes: BTreeSet<Scope>,
    /// The time from which it is no longer valid. `None` means that it does not expire.
    pub until: Option<Timestamp>,
    /// The SHA-256 of the token.
    pub sha256: Hash,
}

impl Token {
    /// Returns whether the token grants a scope.
    pub(crate) fn has_scope(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Returns whether the token grants access to a tenant.
    pub(crate) fn has_tenant(&self, tenant: &Tenant) -> bool {
        match &self.tenants {
            Tenants::All => true,
            Tenants::Some(tenants) => tenants.contains(tenant),
        }
    }

    /// Returns whether the token has expired at `now`.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}
