//! Tokens, what they grant, and the token file, which holds them as hashes:
//!
//! ```json
//! { "tokens": [ { "name": "svc-orders", "sha256": "9f86…", "tenants": ["acme"], "default_tenant": "acme",
//!                 "scopes": ["publish", "read"], "until": "2027-01-01T00:00:00Z" } ] }
//! ```
//! `tenants` may be `["*"]` for all tenants. `default_tenant` and `until` are optional.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Read the log of all tenants: the headers and hashes of their events, not their data or metadata.
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

    /// Returns whether the token grants access to the tenant with this name.
    pub(crate) fn has_tenant_named(&self, name: &str) -> bool {
        match &self.tenants {
            Tenants::All => true,
            Tenants::Some(tenants) => tenants.iter().any(|tenant| tenant.as_str() == name),
        }
    }

    /// Returns whether the token has expired at `now`.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error("cannot read the token file {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is not valid JSON, or has missing, unknown or malformed members.
    #[error("the token file {} is malformed", .0.display())]
    Malformed(PathBuf, #[source] serde_json::Error),
    /// A token is invalid, or conflicts with another one.
    #[error("the token file {} has an invalid token {name:?}: {detail}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// The token's name.
        name: String,
        /// The rule that it breaks.
        detail: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    name: String,
    sha256: Hash,
    tenants: Vec<String>,
    default_tenant: Option<String>,
    scopes: BTreeSet<Scope>,
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileContent {
    tokens: Vec<FileEntry>,
}

impl FileEntry {
    /// Checks the entry by itself. The error names the rule that it breaks.
    fn into_token(self) -> Result<Token, String> {
        let Self { name, sha256, tenants, default_tenant, scopes, until } = self;
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(
                "name must be 1 to 255 bytes without control characters, because events record it as actor".into()
            );
        }
        let tenant = |name: &str| Tenant::parse_any(name).map_err(|error| format!("{name:?}: {error}"));
        let tenants = match tenants.as_slice() {
            [] => return Err("tenants must list at least one tenant, or \"*\"".into()),
            [all] if all == "*" => Tenants::All,
            some => Tenants::Some(some.iter().map(|name| tenant(name)).collect::<Result<_, _>>()?),
        };
        let default_tenant = default_tenant.map(|name| tenant(&name)).transpose()?;
        let token = Token { name, tenants, default_tenant, scopes, until, sha256 };
        match &token.default_tenant {
            Some(default) if !token.has_tenant(default) => {
                Err(format!("default_tenant {default} is not one of its tenants"))
            }
            _ => Ok(token),
        }
    }
}

/// Reads the text of a token file.
pub(super) fn read_file(path: &Path) -> Result<String, TokenFileError> {
    std::fs::read_to_string(path).map_err(|error| TokenFileError::Read(path.to_owned(), error))
}

/// Parses the text of a token file. `path` is only used in errors.
pub(super) fn parse_file(path: &Path, text: &str) -> Result<Vec<Arc<Token>>, TokenFileError> {
    let content: FileContent =
        serde_json::from_str(text).map_err(|error| TokenFileError::Malformed(path.to_owned(), error))?;
    let mut tokens: Vec<Arc<Token>> = Vec::with_capacity(content.tokens.len());
    for entry in content.tokens {
        let name = entry.name.clone();
        let token = match entry.into_token() {
            Ok(token) if tokens.iter().any(|other| other.name == token.name) => {
                Err("another token has the same name".to_owned())
            }
            Ok(token) if tokens.iter().any(|other| other.sha256 == token.sha256) => {
                Err("another token has the same sha256".to_owned())
            }
            checked => checked,
        };
        let token = token.map_err(|detail| TokenFileError::Token { path: path.to_owned(), name, detail })?;
        tokens.push(Arc::new(token));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use sealbus_core::error_chain;

    use super::*;

    fn entry(name: &str, secret: &str, more: &str) -> String {
        let sha256 = Hash::of(secret.as_bytes());
        format!(r#"{{"name":"{name}","sha256":"{sha256}","tenants":["acme"],"scopes":["read"]{more}}}"#)
    }

    #[test]
    fn an_invalid_file_is_refused_with_its_path_and_the_broken_rule() {
        let valid = entry("a", "1", "");
        let cases = [
            (entry("", "1", ""), "name must be 1 to 255 bytes"),
            (valid.replace("[\"acme\"]", "[]"), "tenants must list at least one"),
            (valid.replace("[\"acme\"]", "[\"ACME\"]"), "tenant must be"),
            (entry("a", "1", r#","default_tenant":"other""#), "default_tenant other is not one of its tenants"),
            (format!("{valid},{}", entry("a", "2", "")), "another token has the same name"),
            (format!("{valid},{}", entry("b", "1", "")), "another token has the same sha256"),
            (valid.replace("\"read\"", "\"write\""), "unknown variant `write`"),
            (entry("a", "1", r#","secret":"x""#), "unknown field `secret`"),
            (valid.replace(&Hash::of(b"1").to_string(), "1234"), "64 lower-case hex digits"),
        ];
        for (entries, expected) in cases {
            let parsed = parse_file(Path::new("tokens.json"), &format!(r#"{{"tokens":[{entries}]}}"#));
            let error = error_chain(&parsed.err().unwrap_or_else(|| panic!("an invalid file was accepted: {entries}")));
            assert!(error.contains("tokens.json") && error.contains(expected), "expected {expected:?}: {error}");
        }
    }
}
