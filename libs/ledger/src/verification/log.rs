//! The log beside the chains: its tiles, and the leaves that no event claims.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use futures::TryStreamExt;
use sealbus_core::log::tile::{TileId, TileKind};
use sealbus_core::verify::{CheckedLog, TreeCheck};

use super::Verification;
use super::{Basis, Scope};
use crate::LedgerError;
use crate::history::trail::signed;
use crate::log::TILES;

/// Leaves whose places are looked up at a time.
const PLACES: usize = 1_000;

/// Whose leaf it is, by the table of leaves: tenant, plan and seq.
pub(super) type Place = (String, String, u64);

impl Verification<'_> {
    /// Reads the stored tiles for a check of the tree, a few at a time.
    pub async fn read_tree(self, tree: &mut TreeCheck) -> Result<(), LedgerError> {
        let mut read: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        let mut level = None;
        while let Some(id) = tree.wanted() {
            let TileKind::Hashes(wanted) = id.kind() else { break };
            while read.front().is_some_and(|(n, _)| *n < id.n()) {
                read.pop_front();
            }
            if level.replace(wanted) != Some(wanted) || read.is_empty() {
                read = self.ledger.log().stored_tiles(wanted, id.n(), TILES).await?.into();
            }
            let tile = read.front().filter(|(n, _)| *n == id.n()).map(|(_, hashes)| cut(id, hashes));
            tree.take(tile);
        }
        Ok(())
    }

    /// Leaves within the basis that no record claims, once all plans in scope were checked; each with its place, where the
    /// table of leaves has one. None where there is no log, or its tree is wrong.
    pub async fn unclaimed(self, scope: &Scope, basis: &Basis) -> Result<Vec<(u64, Option<Place>)>, LedgerError> {
        let Some(log) = basis.log.as_deref().filter(|log| log.is_tree()) else { return Ok(Vec::new()) };
        let within = basis.since..basis.limit.min(log.size());
        if *scope != Scope::Everything {
            return self.unclaimed_in(scope, log, within).await;
        }
        let indexes: Vec<u64> = log.unclaimed().filter(|index| within.contains(index)).collect();
        let mut unclaimed = Vec::with_capacity(indexes.len());
        for indexes in indexes.chunks(PLACES) {
            let mut places = self.places(indexes).await?;
            unclaimed.extend(indexes.iter().map(|index| (*index, places.remove(index))));
        }
        Ok(unclaimed)
    }

    async fn places(self, indexes: &[u64]) -> Result<BTreeMap<u64, Place>, LedgerError> {
        let rows = sqlx::query!(
            "-- leaf_places
            SELECT l.leaf_index, p.tenant, p.plan, l.seq FROM sealbus.log_leaves l JOIN sealbus.plans p ON p.plan_no = l.plan_no
            WHERE l.log_id = $1 AND l.leaf_index = ANY ($2)",
            self.ledger.deployment().log_id,
            &indexes.iter().map(|index| signed(*index)).collect::<Vec<_>>(),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        let place = |index: i64, place: (String, String, i64)| {
            Some((u64::try_from(index).ok()?, (place.0, place.1, u64::try_from(place.2).ok()?)))
        };
        Ok(rows.into_iter().filter_map(|row| place(row.leaf_index, (row.tenant, row.plan, row.seq))).collect())
    }

    /// Leaves that the table of leaves does not have: whose they are, nobody can tell, and so they may be of any plan.
    async fn leaves_without_a_row(self, within: &Range<u64>) -> Result<Vec<u64>, LedgerError> {
        let rows = sqlx::query_scalar!(
            r#"-- leaves_without_a_row
            SELECT g.first AS "first!" FROM (
                SELECT generate_series(l.leaf_index + 1, l.next - 1) AS first FROM (
                    SELECT leaf_index, lead(leaf_index, 1, $3::bigint) OVER (ORDER BY leaf_index) AS next FROM (
                        SELECT $2::bigint - 1 AS leaf_index
                        UNION ALL
                        SELECT leaf_index FROM sealbus.log_leaves WHERE log_id = $1 AND leaf_index >= $2 AND leaf_index < $3
                    ) leaves
                ) l WHERE l.next > l.leaf_index + 1
            ) g"#,
            self.ledger.deployment().log_id,
            signed(within.start),
            signed(within.end),
        )
        .fetch_all(self.ledger.pool())
        .await?;
        Ok(rows.into_iter().filter_map(|index| u64::try_from(index).ok()).collect())
    }

    async fn unclaimed_in(
        self,
        scope: &Scope,
        log: &CheckedLog,
        within: Range<u64>,
    ) -> Result<Vec<(u64, Option<Place>)>, LedgerError> {
        let missing = self.leaves_without_a_row(&within).await?;
        let (tenant, plan) = scope.names();
        let mut rows = sqlx::query!(
            "-- leaves_in_scope
            SELECT l.leaf_index, p.tenant, p.plan, l.seq FROM sealbus.log_leaves l JOIN sealbus.plans p ON p.plan_no = l.plan_no
            WHERE l.log_id = $1 AND p.tenant = $2 AND ($3::text IS NULL OR p.plan = $3) AND l.leaf_index >= $4 AND l.leaf_index < $5",
            self.ledger.deployment().log_id,
            tenant,
            plan,
            signed(within.start),
            signed(within.end),
        )
        .fetch(self.ledger.pool());
        let mut unclaimed: Vec<_> = missing.into_iter().map(|index| (index, None)).collect();
        while let Some(row) = rows.try_next().await? {
            if let (Ok(index), Ok(seq)) = (u64::try_from(row.leaf_index), u64::try_from(row.seq))
                && !log.is_claimed(index)
            {
                unclaimed.push((index, Some((row.tenant, row.plan, seq))));
            }
        }
        Ok(unclaimed)
    }
}

/// Of a stored tile the part that the tree has; a shorter one is handed in as it is, and found.
fn cut(id: TileId, hashes: &[u8]) -> &[u8] {
    hashes.get(..32 * usize::from(id.width())).unwrap_or(hashes)
}
