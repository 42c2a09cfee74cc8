//! Leases: who does which share of the work, by the database's clock.
//!
//! A lease is a row of (kind, key) with a holder, an expiry and an epoch that rises whenever the holder changes. Leases and
//! epochs save work; nothing's safety rests on them: two relays on one partition double messages and lose none, and a
//! consumer's effects are fenced by its positions. Processes that could hold leases of a kind announce themselves as
//! members of it, by a row of the kind `<kind>/members` that they renew with the rest, so that shares can be fair.
//! [`lease_keeper`](crate::leases::keeper) does all of this for a process.

use std::time::Duration;

use crate::{Ledger, LedgerError};

/// A lease as the database granted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What is held.
    pub key: String,
    /// Rises whenever the holder changes.
    pub epoch: i64,
}

/// What a holder still has after it renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Whether it still counts as a member.
    pub member: bool,
    /// Its leases.
    pub grants: Vec<Grant>,
}

/// Who is there for a kind of lease, and what of it is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// Live members, sorted.
    pub members: Vec<String>,
    /// Keys that are held by somebody.
    pub held: Vec<String>,
}

/// The table of leases. From [`Ledger::leases`].
#[derive(Clone, Copy)]
pub struct Leases<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Leases<'_> {
    /// Makes the holder a member of those who share a kind's keys, for `lease` long, and forgets members long gone.
    pub async fn announce(self, kind: &str, owner: &str, lease: Duration) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- announce
            WITH gone AS (
                DELETE FROM sealbus.leases WHERE kind = $1 AND expires_at < clock_timestamp() - interval '1 hour'
            )
            INSERT INTO sealbus.leases (kind, key, holder, epoch, expires_at)
            VALUES ($1, $2, $2, 1, clock_timestamp() + make_interval(secs => $3))
            ON CONFLICT (kind, key) DO UPDATE SET expires_at = excluded.expires_at",
            members_of(kind),
            owner,
            lease.as_secs_f64(),
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(())
    }

    /// Renews, in one UPDATE, everything of a kind that the holder has and that has not expired.
    pub async fn renew(self, kind: &str, owner: &str, lease: Duration) -> Result<Renewed, LedgerError> {
        let rows = sqlx::query!(
            r#"-- renew_leases
            UPDATE sealbus.leases SET expires_at = clock_timestamp() + make_interval(secs => $4)
            WHERE kind IN ($1, $2) AND holder = $3 AND expires_at > clock_timestamp()
            RETURNING kind = $2 AS "member!", key, epoch"#,
            kind,
            members_of(kind),
            owner,
            lease.as_secs_f64(),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let mut renewed = Renewed::default();
        for row in rows {
            if row.member {
                renewed.member = true;
            } else {
                renewed.grants.push(Grant { key: row.key, epoch: row.epoch });
            }
        }
        Ok(renewed)
    }

    /// Who is alive, and what is held by somebody alive.
    pub async fn view(self, kind: &str) -> Result<LeaseView, LedgerError> {
        let rows = sqlx::query!(
            r#"-- lease_view
            SELECT kind = $2 AS "member!", key FROM sealbus.leases
            WHERE kind IN ($1, $2) AND expires_at > clock_timestamp() ORDER BY key"#,
            kind,
            members_of(kind),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let mut view = LeaseView::default();
        for row in rows {
            if row.member { &mut view.members } else { &mut view.held }.push(row.key);
        }
        Ok(view)
    }

    /// Takes those of the keys that nobody holds. The epoch of each is one above its last.
    pub async fn take(
        self,
        kind: &str,
        keys: &[String],
        owner: &str,
        lease: Duration,
    ) -> Result<Vec<Grant>, LedgerError> {
        let grants = sqlx::query_as!(
            Grant,
            "-- take_leases
            INSERT INTO sealbus.leases (kind, key, holder, epoch, expires_at)
            SELECT $1, k.key, $3, 1, clock_timestamp() + make_interval(secs => $4) FROM unnest($2::text[]) AS k (key) ORDER BY k.key
            ON CONFLICT (kind, key) DO UPDATE
            SET holder = excluded.holder, epoch = leases.epoch + 1, expires_at = excluded.expires_at
            WHERE leases.expires_at <= clock_timestamp()
            RETURNING key, epoch",
            kind,
            keys,
            owner,
            lease.as_secs_f64(),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(grants)
    }

    /// Gives keys back, so that others need not wait for them to expire.
    pub async fn release(self, kind: &str, keys: &[String], owner: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- release_leases
            UPDATE sealbus.leases SET expires_at = '-infinity' WHERE kind = $1 AND key = ANY ($2) AND holder = $3",
            kind,
            keys,
            owner,
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(())
    }

    /// Gives everything of a kind back and is no member any more.
    pub async fn withdraw(self, kind: &str, owner: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- withdraw
            WITH given_back AS (
                UPDATE sealbus.leases SET expires_at = '-infinity' WHERE kind = $1 AND holder = $3
            )
            DELETE FROM sealbus.leases WHERE kind = $2 AND key = $3",
            kind,
            members_of(kind),
            owner,
        )
        .execute(self.ledger.pool())
        .await?;
        Ok(())
    }
}

fn members_of(kind: &str) -> String {
    format!("{kind}/members")
}
