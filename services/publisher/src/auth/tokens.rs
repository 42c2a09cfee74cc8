//! The tokens in effect: those of the token file, which is read again when it changes.

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use sealbus_core::clock::Clock;
use sealbus_core::error_chain;
use sealbus_core::hash::Hash;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use crate::auth::token::{Token, TokenFileError, parse_file, read_file};

/// The tokens in effect. Clones share them.
#[derive(Clone)]
pub(crate) struct Tokens {
    path: Arc<Path>,
    clock: Arc<dyn Clock>,
    loaded: Arc<RwLock<Loaded>>,
}

struct Loaded {
    /// The text of the file, by which a change is noticed.
    text: String,
    tokens: Vec<Arc<Token>>,
}

impl Tokens {
    /// Loads a token file. The clock decides when its tokens expire.
    pub(crate) fn load(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, TokenFileError> {
        let text = read_file(path)?;
        let tokens = parse_file(path, &text)?;
        Ok(Self { path: path.into(), clock, loaded: Arc::new(RwLock::new(Loaded { text, tokens })) })
    }

    /// Returns the entry of a presented token, if there is one and it has not expired.
    ///
    /// The hash is compared with every entry in constant time, so that response times reveal nothing about the file.
    pub(crate) fn authenticate(&self, presented: &str) -> Option<Arc<Token>> {
        self.find(&Hash::of(presented.as_bytes()))
    }

    /// Returns whether a token that was authenticated before is still in the file, unchanged and not expired.
    pub(crate) fn is_still_valid(&self, token: &Token) -> bool {
        self.find(&token.sha256).is_some_and(|current| *current == *token)
    }

    fn find(&self, hash: &Hash) -> Option<Arc<Token>> {
        let loaded = self.loaded.read().expect("the lock is only held to compare and to swap the list");
        let mut found = None;
        for token in &loaded.tokens {
            if bool::from(token.sha256.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(token);
            }
        }
        let now = self.clock.now();
        found.filter(|token| !token.is_expired(now)).cloned()
    }

    /// Checks every `interval` whether the file has changed, and loads it again. Returns when `shutdown` fires.
    ///
    /// If the changed file cannot be used, the previous tokens stay in effect and the error is logged.
    pub(crate) async fn watch(&self, interval: Duration, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            self.reload();
        }
    }

    fn reload(&self) {
        let read = read_file(&self.path);
        let is_unchanged = |text: &String| *text == self.loaded.read().expect("see find").text;
        if read.as_ref().is_ok_and(is_unchanged) {
            return;
        }
        match read.and_then(|text| parse_file(&self.path, &text).map(|tokens| Loaded { text, tokens })) {
            Ok(loaded) => {
                tracing::info!(tokens = loaded.tokens.len(), "token file reloaded");
                *self.loaded.write().expect("see find") = loaded;
            }
            Err(error) => tracing::error!(
                error = %error_chain(&error),
                "the changed token file cannot be used; the previous tokens stay in effect"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sealbus_core::names::Tenant;
    use sealbus_core::timestamp::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::auth::token::Scope;

    /// A clock that the test sets.
    struct TestClock(Mutex<Timestamp>);

    impl TestClock {
        fn at(text: &str) -> Arc<Self> {
            Arc::new(Self(Mutex::new(Timestamp::parse(text).unwrap())))
        }

        fn set(&self, text: &str) {
            *self.0.lock().unwrap() = Timestamp::parse(text).unwrap();
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    /// Writes a token file with one token.
    fn write(folder: &TempDir, name: &str, secret: &str, more: &str) {
        let sha256 = Hash::of(secret.as_bytes());
        let token = format!(r#"{{"name":"{name}","sha256":"{sha256}","tenants":["acme"],"scopes":["read"]{more}}}"#);
        std::fs::write(folder.path().join("tokens.json"), format!(r#"{{"tokens":[{token}]}}"#)).unwrap();
    }

    #[test]
    fn a_token_is_authenticated_by_its_hash_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "reader", "s3cret", r#","until":"2026-12-01T00:00:00Z""#);
        let clock = TestClock::at("2026-11-30T23:59:59Z");
        let tokens = Tokens::load(&folder.path().join("tokens.json"), clock.clone()).unwrap();
        let token = tokens.authenticate("s3cret").expect("the token has not expired");
        assert_eq!(
            (token.name.as_str(), token.has_scope(Scope::Read), token.has_scope(Scope::Publish)),
            ("reader", true, false)
        );
        assert!(token.has_tenant(&Tenant::parse("acme").unwrap()));
        assert!(!token.has_tenant(&Tenant::parse("other").unwrap()));
        assert_eq!(tokens.authenticate("S3cret"), None);
        assert_eq!(tokens.authenticate(""), None);
        assert!(tokens.is_still_valid(&token));
        clock.set("2026-12-01T00:00:00Z");
        assert_eq!(tokens.authenticate("s3cret"), None, "an expired token was accepted");
        assert!(!tokens.is_still_valid(&token));
    }

    #[test]
    fn a_changed_file_takes_effect_unless_it_is_invalid() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "a", "1", "");
        let path = folder.path().join("tokens.json");
        let tokens = Tokens::load(&path, TestClock::at("2026-11-30T00:00:00Z")).unwrap();
        let token = tokens.authenticate("1").expect("the token is in the file");

        // A valid change takes effect.
        write(&folder, "a", "2", "");
        tokens.reload();
        assert!(tokens.authenticate("1").is_none(), "the replaced token is still accepted");
        assert!(tokens.authenticate("2").is_some(), "the new token is not accepted");
        assert!(!tokens.is_still_valid(&token));

        // An invalid one does not.
        std::fs::write(&path, "{").unwrap();
        tokens.reload();
        assert!(tokens.authenticate("2").is_some(), "an invalid file took the tokens away");
    }
}
