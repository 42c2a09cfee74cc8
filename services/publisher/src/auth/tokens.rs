//! Who may do what: bearer tokens, kept in a file as hashes.
//!
//! ```json
//! { "tokens": [ { "name": "svc-orders", "sha256": "9f86…", "tenants": ["acme"], "default_tenant": "acme",
//!                 "scopes": ["publish", "read"], "until": "2027-01-01T00:00:00Z" } ] }
//! ```
//! `tenants` may be `["*"]` for all. `default_tenant` and `until` may be left out. The file is read anew when it changes;
//! a file that does not read then leaves the tokens as they were, and is told in the log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use sealbus_core::names::Tenant;
use sealbus_core::timestamp::Timestamp;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Scope {
    /// Publish events.
    #[serde(rename = "publish")]
    Publish,
    /// Read events of its tenants, and the catalog.
    #[serde(rename = "read")]
    Read,
    /// Have a plan verified.
    #[serde(rename = "verify")]
    Verify,
    /// Read the log of all tenants.
    #[serde(rename = "log.read")]
    LogRead,
    /// Name another actor than the token's own.
    #[serde(rename = "actor.any")]
    ActorAny,
    /// See into encrypted payloads of what it may read.
    #[serde(rename = "payload.open")]
    PayloadOpen,
    /// Operate the bus.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Its name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Verify => "verify",
            Self::LogRead => "log.read",
            Self::ActorAny => "actor.any",
            Self::PayloadOpen => "payload.open",
            Self::Admin => "admin",
        }
    }
}

/// The tenants of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// All that there are and will be, the bus's own too.
    All,
    /// These.
    Some(BTreeSet<Tenant>),
}

/// One token. The token itself is nowhere, only its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name: the actor of what it publishes.
    pub name: String,
    /// Where it counts.
    pub tenants: Tenants,
    /// The tenant where none is named.
    pub default_tenant: Option<Tenant>,
    scopes: BTreeSet<Scope>,
    until: Option<Timestamp>,
    sha256: Hash,
}

impl Token {
    /// Whether it has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it has a tenant.
    pub fn has(&self, tenant: &Tenant) -> bool {
        match &self.tenants {
            Tenants::All => true,
            Tenants::Some(tenants) => tenants.contains(tenant),
        }
    }
}

/// Why a token file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("the token file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not of the form.
    #[error("the token file {} is not of its form", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A token contradicts itself, or another.
    #[error("the token file {}: token {name:?}: {detail}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// The token.
        name: String,
        /// What is wrong.
        detail: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    tokens: Vec<TokenForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenForm {
    name: String,
    sha256: Hash,
    tenants: Vec<String>,
    default_tenant: Option<String>,
    scopes: BTreeSet<Scope>,
    until: Option<Timestamp>,
}

impl TokenForm {
    fn check(self) -> Result<Token, String> {
        if self.name.is_empty() || self.name.len() > 255 || self.name.chars().any(char::is_control) {
            return Err("a name is 1 to 255 bytes without control characters: it is an actor".into());
        }
        let tenant = |name: &str| Tenant::parse_any(name).map_err(|error| format!("{name:?}: {error}"));
        let tenants = match self.tenants.as_slice() {
            [] => return Err("tenants names at least one, or \"*\"".into()),
            [all] if all == "*" => Tenants::All,
            some => Tenants::Some(some.iter().map(|name| tenant(name)).collect::<Result<_, _>>()?),
        };
        let default_tenant = self.default_tenant.map(|name| tenant(&name)).transpose()?;
        let token = Token {
            name: self.name,
            tenants,
            default_tenant,
            scopes: self.scopes,
            until: self.until,
            sha256: self.sha256,
        };
        match &token.default_tenant {
            Some(default) if !token.has(default) => Err(format!("default_tenant {default} is none of its tenants")),
            _ => Ok(token),
        }
    }
}

/// The tokens of a file, as it stands.
pub struct Tokens {
    path: PathBuf,
    now: RwLock<Loaded>,
}

struct Loaded {
    text: String,
    tokens: Vec<Arc<Token>>,
}

impl Tokens {
    /// Reads a token file.
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let loaded = read(path).and_then(|text| parse(path, text))?;
        Ok(Self { path: path.to_owned(), now: RwLock::new(loaded) })
    }

    /// The token that a caller presents, if it is one and counts at `now`.
    ///
    /// Hashes are compared in constant time, and all of them, so that how long it takes says nothing of the file.
    pub fn authenticate(&self, presented: &str, now: Timestamp) -> Option<Arc<Token>> {
        self.by_hash(&hash(presented), now)
    }

    /// Whether a token that was presented before still counts: a stream asks now and then.
    pub fn still_counts(&self, token: &Token, now: Timestamp) -> bool {
        self.by_hash(&token.sha256, now).is_some_and(|current| *current == *token)
    }

    fn by_hash(&self, hash: &Hash, now: Timestamp) -> Option<Arc<Token>> {
        let loaded = self.now.read().expect("no holder of the lock panics: it only swaps the list");
        let mut found = None;
        for token in &loaded.tokens {
            if bool::from(token.sha256.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(token);
            }
        }
        found.filter(|token| token.until.is_none_or(|until| now < until)).cloned()
    }

    /// Looks every `interval` whether the file has changed, and takes its tokens over.
    pub async fn follow(&self, interval: Duration, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            self.reload();
        }
    }

    fn reload(&self) {
        let read = read(&self.path);
        if matches!(&read, Ok(text) if *text == self.now.read().expect("as above").text) {
            return;
        }
        match read.and_then(|text| parse(&self.path, text)) {
            Ok(loaded) => {
                tracing::info!(tokens = loaded.tokens.len(), "the token file has changed");
                *self.now.write().expect("as above") = loaded;
            }
            Err(error) => tracing::error!(
                error = error_chain(&error),
                "the token file has changed, and the tokens stay as they were"
            ),
        }
    }
}

/// The hash under which a token stands in the file.
pub fn hash(token: &str) -> Hash {
    Hash::of(token.as_bytes())
}

fn read(path: &Path) -> Result<String, TokensError> {
    std::fs::read_to_string(path).map_err(|source| TokensError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: String) -> Result<Loaded, TokensError> {
    let form: FileForm =
        serde_json::from_str(&text).map_err(|source| TokensError::Form { path: path.to_owned(), source })?;
    let mut tokens: Vec<Arc<Token>> = Vec::with_capacity(form.tokens.len());
    for token in form.tokens {
        let name = token.name.clone();
        let refuse = |detail| TokensError::Token { path: path.to_owned(), name, detail };
        let token = match token.check() {
            Ok(token) if tokens.iter().any(|other| other.name == token.name) => Err("the name stands twice".to_owned()),
            Ok(token) if tokens.iter().any(|other| other.sha256 == token.sha256) => {
                Err("its sha256 is another token's too".to_owned())
            }
            checked => checked,
        };
        tokens.push(Arc::new(token.map_err(refuse)?));
    }
    Ok(Loaded { text, tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn tokens(entries: &str) -> Result<Tokens, String> {
        let path = Path::new("tokens.json");
        let loaded = parse(path, format!(r#"{{"tokens":[{entries}]}}"#)).map_err(|error| error_chain(&error))?;
        Ok(Tokens { path: path.to_owned(), now: RwLock::new(loaded) })
    }

    fn entry(name: &str, secret: &str, more: &str) -> String {
        format!(r#"{{"name":"{name}","sha256":"{}","tenants":["acme"],"scopes":["read"]{more}}}"#, hash(secret))
    }

    #[test]
    fn a_token_is_known_by_its_hash_until_its_day() {
        let tokens = tokens(&entry("reader", "s3cret", r#","until":"2026-12-01T00:00:00Z""#)).unwrap();
        let token = tokens.authenticate("s3cret", at("2026-11-30T23:59:59Z")).expect("known");
        assert_eq!((token.name.as_str(), token.may(Scope::Read), token.may(Scope::Publish)), ("reader", true, false));
        assert!(token.has(&Tenant::parse("acme").unwrap()) && !token.has(&Tenant::parse("other").unwrap()));
        assert_eq!(tokens.authenticate("s3cret", at("2026-12-01T00:00:00Z")), None);
        assert_eq!(tokens.authenticate("S3cret", at("2026-11-30T00:00:00Z")), None);
        assert_eq!(tokens.authenticate("", at("2026-11-30T00:00:00Z")), None);
    }

    #[test]
    fn faulty_files_are_refused_by_the_token_s_name() {
        let good = entry("a", "1", "");
        let cases = [
            (entry("", "1", ""), "a name is 1 to 255 bytes"),
            (good.replace("[\"acme\"]", "[]"), "tenants names at least one"),
            (good.replace("[\"acme\"]", "[\"ACME\"]"), "a tenant is"),
            (entry("a", "1", r#","default_tenant":"other""#), "default_tenant other is none of its tenants"),
            (format!("{good},{}", entry("a", "2", "")), "the name stands twice"),
            (format!("{good},{}", entry("b", "1", "")), "its sha256 is another token's too"),
            (good.replace("\"read\"", "\"write\""), "unknown variant `write`"),
            (entry("a", "1", r#","secret":"x""#), "unknown field `secret`"),
            (good.replace(&hash("1").to_string(), "1234"), "64 lower-case hex digits"),
        ];
        for (entries, expected) in cases {
            let refusal = tokens(&entries).err().unwrap_or_else(|| panic!("{entries} is taken"));
            assert!(refusal.contains(expected), "{refusal}");
        }
    }

    #[test]
    fn a_changed_file_is_taken_over_and_a_faulty_one_is_not() {
        let path = std::env::temp_dir().join(format!("sealbus-tokens-{}.json", std::process::id()));
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let now = at("2026-11-30T00:00:00Z");
        write(&format!(r#"{{"tokens":[{}]}}"#, entry("a", "1", "")));
        let tokens = Tokens::load(&path).unwrap();
        let token = tokens.authenticate("1", now).expect("known");
        write(&format!(r#"{{"tokens":[{}]}}"#, entry("a", "2", "")));
        tokens.reload();
        assert!(tokens.authenticate("1", now).is_none() && tokens.authenticate("2", now).is_some());
        assert!(!tokens.still_counts(&token, now));
        write("{");
        tokens.reload();
        assert!(tokens.authenticate("2", now).is_some());
        std::fs::remove_file(&path).unwrap();
    }
}
