//! Who signs with which key, and what of it is not sealed yet.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use sealbus_core::seal::KeyId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Keys;
use crate::leases::keeper::{Keeper, KeeperConfig};
use crate::{Ledger, LedgerError};

/// An appender's membership of those who sign with a key: renewed while it lives, gone with it, expired after a crash.
///
/// It tells an operator whom to wait for. Nothing's safety rests on it: a key is ended in the database.
pub(crate) struct SignerLease {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SignerLease {
    pub(crate) fn start(
        ledger: &Ledger,
        kid: &KeyId,
        lease_duration: Duration,
        lease_renew_interval: Duration,
    ) -> Self {
        let config = KeeperConfig {
            lease_duration,
            renew_interval: lease_renew_interval,
            // Members of a kind without keys: nothing is shared, they only say that they are there.
            ..KeeperConfig::new(kind(kid), Vec::new(), format!("appender-{}", Uuid::new_v4().simple()))
        };
        let (ledger, stop) = (ledger.clone(), CancellationToken::new());
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                let keeper = Keeper::start(ledger, config);
                stop.cancelled().await;
                keeper.stop().await;
            }
        });
        Self { stop, task: Mutex::new(Some(task)) }
    }

    /// Ends it, and waits until the ledger knows.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        let task = self.task.lock().expect("no holder of the lock panics: it only takes the task").take();
        if let Some(task) = task {
            // A task that panicked has said so, and its lease expires.
            let _ = task.await;
        }
    }
}

impl Drop for SignerLease {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

const PREFIX: &str = "signing/";

fn kind(kid: &KeyId) -> String {
    format!("{PREFIX}{kid}")
}

impl Keys<'_> {
    /// How many live appenders sign with each key: publishers, and commands that append.
    pub async fn signers(self) -> Result<BTreeMap<KeyId, u64>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- signers
            SELECT split_part(kind, '/', 2) AS "kid!", count(*) AS "signers!" FROM sealbus.leases
            WHERE kind LIKE 'signing/%/members' AND expires_at > clock_timestamp() GROUP BY 1"#
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (KeyId::new(row.kid), row.signers.unsigned_abs())).collect())
    }

    /// How many events that each key signed have no leaf yet.
    pub async fn unsealed(self) -> Result<BTreeMap<KeyId, u64>, LedgerError> {
        let rows = sqlx::query!(
            r#"-- unsealed_by_key
            SELECT e.kid, count(*) AS "events!"
            FROM sealbus.seal_queue q JOIN sealbus.events e ON e.plan_no = q.plan_no AND e.seq = q.seq GROUP BY e.kid"#
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (KeyId::new(row.kid), row.events.unsigned_abs())).collect())
    }
}
