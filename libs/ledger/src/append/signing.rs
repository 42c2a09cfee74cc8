//! The signing key of an append: whether the database lets it sign, and the lease that announces who signs with it.
//!
//! Safety depends on the table `signing_keys` alone: `sealbus.lock_plans` reads it under the key's lock
//! (`docs/spec/protocol.md#append-key`). The lease only tells an operator which processes to wait for.

use std::time::Duration;

use sealbus_core::seal::KeyId;
use sqlx::postgres::PgDatabaseError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::leases::keeper::{Keeper, KeeperConfig};
use crate::pg::Column;
use crate::{Ledger, LedgerError};

/// The column with the state of a signing key.
const STATE: Column = Column::new("signing_keys", "standing");

/// The SQLSTATE by which `sealbus.lock_plans` refuses a key. The detail of the error is the state of the key.
const REFUSED: &str = "SB001";
/// The detail for a key that the table does not have.
const UNKNOWN: &str = "unknown";

/// Whether the database lets a key sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Events may be sealed with the key.
    Signs,
    /// The key was retired and may not sign.
    Retired,
    /// The key was revoked and may not sign.
    Revoked,
}

impl KeyState {
    const ALL: [Self; 3] = [Self::Signs, Self::Retired, Self::Revoked];

    /// Returns the word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }

    /// Parses a stored word.
    pub(crate) fn stored(word: &str) -> Result<Self, LedgerError> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == word);
        state.ok_or_else(|| STATE.corrupt(format!("unknown state {word:?}")))
    }
}

/// Reasons why the database does not let a key sign. Nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// No event of plan `_keys` has added the key. Verifiers would accept nothing that it signs.
    #[error(
        "signing key {0} was not added to this ledger; make the previous key active in the keyring again, and run \
         `sealbus keys rotate {0}`"
    )]
    Unknown(KeyId),
    /// The key was retired or revoked.
    #[error(
        "signing key {0} is {state} and may not sign; give this process the keyring in which its successor is active, and start \
         it again",
        state = .1.as_str()
    )]
    Ended(KeyId, KeyState),
}

impl KeyRefused {
    /// Returns the reason why a key in this state may not sign, or `None` if it may. A key without a row has no state.
    pub(crate) fn of(kid: &KeyId, state: Option<KeyState>) -> Option<Self> {
        match state {
            Some(KeyState::Signs) => None,
            None => Some(Self::Unknown(kid.clone())),
            Some(state) => Some(Self::Ended(kid.clone(), state)),
        }
    }
}

/// Translates an error of `sealbus.lock_plans` for a batch that `kid` would seal.
pub(super) fn lock_error(error: sqlx::Error, kid: &KeyId) -> LedgerError {
    let refused = error.as_database_error().filter(|error| error.code().as_deref() == Some(REFUSED));
    let Some(refused) = refused else { return error.into() };
    let detail = refused.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail);
    let state = match detail.unwrap_or(UNKNOWN) {
        UNKNOWN => Ok(None),
        word => KeyState::stored(word).map(Some),
    };
    match state {
        Ok(state) => KeyRefused::of(kid, state).map_or_else(|| error.into(), LedgerError::from),
        Err(corrupt) => corrupt,
    }
}

/// The membership of an appender in the lease kind `signing/<kid>`, which is renewed until it is dropped or ended.
///
/// After a crash the membership expires with its lease.
pub(super) struct SignerLease {
    stop: CancellationToken,
    /// Cancelled when the task has ended, also if it panicked: then the lease expires.
    ended: CancellationToken,
}

impl SignerLease {
    /// Starts to renew the membership. Needs a Tokio runtime.
    pub(super) fn start(ledger: &Ledger, kid: &KeyId, lease_duration: Duration, renew_interval: Duration) -> Self {
        let config = KeeperConfig {
            kind: format!("signing/{kid}"),
            // The kind has no keys: members take no leases, they are only counted.
            keys: Vec::new(),
            owner: format!("appender-{}", Uuid::new_v4().simple()),
            lease_duration,
            renew_interval,
        };
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let (ledger, stopped, end) = (ledger.clone(), stop.clone(), ended.clone().drop_guard());
        tokio::spawn(async move {
            let keeper = Keeper::start(ledger, config);
            stopped.cancelled().await;
            keeper.stop().await;
            drop(end);
        });
        Self { stop, ended }
    }

    /// Ends the membership and waits until the database has recorded that, but no longer than [`Keeper::stop`] does.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

impl Drop for SignerLease {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
