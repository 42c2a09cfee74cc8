//! The statements on table `leases`. All times are those of the database's clock.
//!
//! A lease that expires more than twice its duration ahead counts as expired: nobody has renewed it since the clock was set back,
//! or no process of Sealbus wrote it.

use std::time::Duration;

use crate::{Ledger, LedgerError};

/// A lease as the database granted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The key of the lease.
    pub key: String,
    /// The epoch, which rises whenever the lease is taken.
    pub epoch: i64,
}

/// The result of a renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Whether the owner still is a member of the kind.
    pub member: bool,
    /// The leases that the owner still has.
    pub grants: Vec<Grant>,
}

/// The live members and the owned leases of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// The members whose membership has not expired, sorted.
    pub members: Vec<String>,
    /// The keys whose leases have not expired, sorted.
    pub owned: Vec<String>,
}

/// Access to the table of leases, from [`Ledger::leases`].
#[derive(Clone, Copy)]
pub struct Leases<'a> {
    pub(crate) ledger: &'a Ledger,
}

impl Leases<'_> {
    /// Makes `owner` a member of a kind for `duration`. Deletes members that expired more than an hour ago, or expire
    /// more than an hour later than any renewal can make them.
    pub async fn announce(self, kind: &str, owner: &str, duration: Duration) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- announce
            WITH gone AS (
                DELETE FROM sealbus.leases WHERE kind = $1 AND NOT expires_at
                    BETWEEN clock_timestamp() - interval '1 hour' AND clock_timestamp() + interval '1 hour' + make_interval(secs => 2 * $3::float8)
            )
            INSERT INTO sealbus.leases (kind, key, holder, epoch, expires_at)
            VALUES ($1, $2, $2, 1, clock_timestamp() + make_interval(secs => $3))
            ON CONFLICT (kind, key) DO UPDATE SET expires_at = excluded.expires_at",
            members_of(kind),
            owner,
            duration.as_secs_f64(),
        )
        .execute(self.ledger.background())
        .await?;
        Ok(())
    }

    /// Renews for `duration`, in one UPDATE, all leases of a kind that `owner` has and that have not expired, and its
    /// membership.
    pub async fn renew(self, kind: &str, owner: &str, duration: Duration) -> Result<Renewed, LedgerError> {
        let rows = sqlx::query!(
            r#"-- renew_leases
            UPDATE sealbus.leases SET expires_at = clock_timestamp() + make_interval(secs => $4)
            WHERE kind IN ($1, $2) AND holder = $3 AND expires_at > clock_timestamp()
            RETURNING kind = $2 AS "member!", key, epoch"#,
            kind,
            members_of(kind),
            owner,
            duration.as_secs_f64(),
        );
        let mut renewed = Renewed::default();
        for row in rows.fetch_all(self.ledger.background()).await? {
            if row.member {
                renewed.member = true;
            } else {
                renewed.grants.push(Grant { key: row.key, epoch: row.epoch });
            }
        }
        Ok(renewed)
    }

    /// Returns the live members and the owned keys of a kind whose leases last for `duration`.
    pub async fn view(self, kind: &str, duration: Duration) -> Result<LeaseView, LedgerError> {
        let rows = sqlx::query!(
            r#"-- lease_view
            SELECT kind = $2 AS "member!", key FROM sealbus.leases
            WHERE kind IN ($1, $2) AND expires_at > clock_timestamp()
                AND expires_at <= clock_timestamp() + make_interval(secs => 2 * $3::float8) ORDER BY key"#,
            kind,
            members_of(kind),
            duration.as_secs_f64(),
        );
        let mut view = LeaseView::default();
        for row in rows.fetch_all(self.ledger.background()).await? {
            if row.member { &mut view.members } else { &mut view.owned }.push(row.key);
        }
        Ok(view)
    }

    /// Takes those of the keys that are free or expired, for `duration`. The epoch of each is one above its last.
    pub async fn take(
        self,
        kind: &str,
        keys: &[String],
        owner: &str,
        duration: Duration,
    ) -> Result<Vec<Grant>, LedgerError> {
        let grants = sqlx::query_as!(
            Grant,
            "-- take_leases
            INSERT INTO sealbus.leases (kind, key, holder, epoch, expires_at)
            SELECT $1, k.key, $3, 1, clock_timestamp() + make_interval(secs => $4) FROM unnest($2::text[]) AS k (key) ORDER BY k.key
            ON CONFLICT (kind, key) DO UPDATE
            SET holder = excluded.holder, epoch = leases.epoch + 1, expires_at = excluded.expires_at
            WHERE leases.expires_at <= clock_timestamp() OR leases.expires_at > clock_timestamp() + make_interval(secs => 2 * $4::float8)
            RETURNING key, epoch",
            kind,
            keys,
            owner,
            duration.as_secs_f64(),
        );
        Ok(grants.fetch_all(self.ledger.background()).await?)
    }

    /// Gives leases back, so that others need not wait until they expire.
    pub async fn release(self, kind: &str, keys: &[String], owner: &str) -> Result<(), LedgerError> {
        sqlx::query!(
            "-- release_leases
            UPDATE sealbus.leases SET expires_at = '-infinity' WHERE kind = $1 AND key = ANY ($2) AND holder = $3",
            kind,
            keys,
            owner,
        )
        .execute(self.ledger.background())
        .await?;
        Ok(())
    }

    /// Gives all leases of a kind back and ends the membership.
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
        .execute(self.ledger.background())
        .await?;
        Ok(())
    }
}

fn members_of(kind: &str) -> String {
    format!("{kind}/members")
}
