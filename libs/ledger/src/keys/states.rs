//! Which keys may sign: table `signing_keys`, and the lock that stands before it.

use std::collections::BTreeMap;

use sealbus_core::seal::KeyId;
use sqlx::PgConnection;

use super::Keys;
use crate::LedgerError;
use crate::commit::commit;

/// How long ending a key waits for the transactions that hold it: longer than Postgres lets one idle.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '15s'";

/// Why an append under a key is refused. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// No event of plan `_keys` has added it yet.
    #[error(
        "signing key {kid} was not added to this ledger, so what it signs would count for nothing: make the former key active \
         in the keyring again, and run `sealbus keys rotate {kid}`"
    )]
    Unknown {
        /// The key.
        kid: KeyId,
    },
    /// It was retired or revoked.
    #[error(
        "signing key {kid} is {state} and signs nothing any more: give this process the keyring in which the key that \
         followed is active, and start it again"
    )]
    Ended {
        /// The key.
        kid: KeyId,
        /// What became of it.
        state: KeyState,
    },
}

/// What the ledger lets a key do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Events may be sealed by it.
    Signs,
    /// No more: it was retired.
    Retired,
    /// No more: it was revoked.
    Revoked,
}

/// How a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is followed by another.
    Retire,
    /// It is not to be trusted any more.
    Revoke,
}

impl KeyState {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }

    fn stored(text: &str) -> Option<Self> {
        [Self::Signs, Self::Retired, Self::Revoked].into_iter().find(|state| state.as_str() == text)
    }
}

impl std::fmt::Display for KeyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Ending {
    fn state(self) -> KeyState {
        match self {
            Self::Retire => KeyState::Retired,
            Self::Revoke => KeyState::Revoked,
        }
    }
}

impl Keys<'_> {
    /// What the ledger lets each key do that it knows.
    pub async fn states(self) -> Result<BTreeMap<KeyId, KeyState>, LedgerError> {
        let rows = sqlx::query!("-- key_standings\nSELECT kid, standing FROM sealbus.signing_keys ORDER BY kid")
            .fetch_all(self.ledger.pool())
            .await?;
        let states = rows.into_iter().filter_map(|row| Some((KeyId::new(row.kid), KeyState::stored(&row.standing)?)));
        Ok(states.collect())
    }

    /// Refuses a key by which nothing can be appended, with the words that an append would be refused by. For starts and probes.
    ///
    /// # Errors
    /// [`LedgerError::SigningKey`].
    pub async fn check(self, kid: &KeyId) -> Result<(), LedgerError> {
        let state = self.states().await?.get(kid).copied();
        refusal(kid, state).map_or(Ok(()), |refused| Err(refused.into()))
    }

    /// Lets a key sign that plan `_keys` has added; the caller has seen its leaf. One that was ended stays so.
    pub async fn allow(self, kid: &KeyId) -> Result<(), LedgerError> {
        allow_first(&mut *self.ledger.pool().acquire().await?, kid).await
    }

    /// Ends a key: after this nothing is appended under it. What is being appended is waited for, and committed.
    ///
    /// A key that was retired can still be revoked; a revoked one stays revoked.
    ///
    /// # Errors
    /// [`LedgerError::Sql`] where a transaction holds the key for over 15 s.
    pub async fn end(self, kid: &KeyId, ending: Ending) -> Result<(), LedgerError> {
        let mut transaction = self.ledger.pool().begin().await?;
        sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
        sqlx::query!(
            "-- end_signing_lock\nSELECT pg_advisory_xact_lock(sealbus.signing_lock($1)) AS locked",
            kid.as_str()
        )
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query!(
            "-- end_signing
            INSERT INTO sealbus.signing_keys AS k (kid, standing) VALUES ($1, $2)
            ON CONFLICT (kid) DO UPDATE SET standing = excluded.standing, since = clock_timestamp()
            WHERE k.standing <> 'revoked'",
            kid.as_str(),
            ending.state().as_str(),
        )
        .execute(&mut *transaction)
        .await?;
        commit(transaction).await
    }
}

/// Lets a key sign, on a connection of the caller's: a new ledger's first inside the transaction that creates it.
pub(crate) async fn allow_first(connection: &mut PgConnection, kid: &KeyId) -> Result<(), LedgerError> {
    sqlx::query!(
        "-- allow_signing
        INSERT INTO sealbus.signing_keys (kid, standing) VALUES ($1, 'signs') ON CONFLICT (kid) DO NOTHING",
        kid.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The code by which `sealbus.lock_plans` refuses a key; its detail is what became of the key.
const REFUSED: &str = "SB001";

/// What an error of `sealbus.lock_plans` means.
pub(crate) fn refused_key(error: sqlx::Error, kid: &KeyId) -> LedgerError {
    let refused = match &error {
        sqlx::Error::Database(database) if database.code().as_deref() == Some(REFUSED) => {
            let detail =
                database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|error| error.detail());
            refusal(kid, detail.and_then(KeyState::stored))
        }
        _ => None,
    };
    refused.map_or_else(|| error.into(), LedgerError::from)
}

fn refusal(kid: &KeyId, state: Option<KeyState>) -> Option<KeyRefused> {
    match state {
        Some(KeyState::Signs) => None,
        None => Some(KeyRefused::Unknown { kid: kid.clone() }),
        Some(state) => Some(KeyRefused::Ended { kid: kid.clone(), state }),
    }
}
