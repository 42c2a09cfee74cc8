//! The stored tiles for a check of the tree, and the leaves that belong to no event.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use futures::TryStreamExt;
use sealbus_core::log::tile::TileKind;
use sealbus_core::verify::{CheckedLog, TreeCheck};

use super::{Basis, Scope, Verification};
use crate::LedgerError;
use crate::pg::{Column, bound};

/// Leaves whose places are looked up at a time.
const PLACE_PAGE: usize = 1_000;

const INDEX: Column = Column::new("log_leaves", "leaf_index");

/// The event of a leaf according to the table of leaves: tenant, plan and seq.
pub(super) type Place = (String, String, u64);

impl Verification<'_> {
    /// Gives the stored tiles to a check of the tree. Reads a few at a time.
    pub async fn read_tree(self, tree: &mut TreeCheck) -> Result<(), LedgerError> {
        let mut read: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        let mut level = None;
        while let Some(id) = tree.wanted() {
            let TileKind::Hashes(wanted) = id.kind() else { break };
            while read.front().is_some_and(|(n, _)| *n < id.n()) {
                read.pop_front();
            }
            if level.replace(wanted) != Some(wanted) || read.is_empty() {
                read = self.ledger.log().stored_tiles(wanted, id.n()).await?.into();
            }
            // A stored tile is cut to its width in the tree. A narrower one is taken as it is, and the check finds it.
            let length = 32 * usize::from(id.width());
            let stored = read.front().filter(|(n, _)| *n == id.n()).map(|(_, hashes)| hashes.as_slice());
            tree.take(stored.map(|hashes| hashes.get(..length).unwrap_or(hashes)));
        }
        Ok(())
    }

    /// Returns the leaves that belong to no event, after all plans in scope were checked: their log indexes and their places, if
    /// the table of leaves has a valid one. It is empty if there is no log, or if its tree is wrong.
    pub async fn unclaimed(self, scope: &Scope, basis: &Basis) -> Result<Vec<(u64, Option<Place>)>, LedgerError> {
        let Some(log) = basis.log.as_deref().filter(|log| log.is_tree()) else { return Ok(Vec::new()) };
        let within = basis.since..basis.limit.min(log.size());
        if *scope != Scope::Everything {
            return self.unclaimed_in(scope, log, within).await;
        }
        let indexes: Vec<u64> = log.unclaimed().filter(|index| within.contains(index)).collect();
        let mut unclaimed = Vec::with_capacity(indexes.len());
        for indexes in indexes.chunks(PLACE_PAGE) {
            let mut places = self.places(indexes).await?;
            unclaimed.extend(indexes.iter().map(|index| (*index, places.remove(index))));
        }
        Ok(unclaimed)
    }

    /// Reads the places of some leaves. Leaves without a valid place are left out.
    async fn places(self, indexes: &[u64]) -> Result<BTreeMap<u64, Place>, LedgerError> {
        let rows = sqlx::query!(
            "-- leaf_places
            SELECT l.leaf_index, p.tenant, p.plan, l.seq FROM sealbus.log_leaves l JOIN sealbus.plans p ON p.plan_no = l.plan_no
            WHERE l.log_id = $1 AND l.leaf_index = ANY ($2)",
            self.ledger.deployment().log_id,
            &indexes.iter().map(|index| bound(*index)).collect::<Vec<_>>(),
        );
        let mut places = BTreeMap::new();
        for row in rows.fetch_all(self.ledger.reads()).await? {
            if let Ok(seq) = u64::try_from(row.seq) {
                places.insert(INDEX.read(row.leaf_index)?, (row.tenant, row.plan, seq));
            }
        }
        Ok(places)
    }

    /// Returns the log indexes that the table of leaves lacks. Such a leaf may belong to any plan.
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
            bound(within.start),
            bound(within.end),
        );
        rows.fetch_all(self.ledger.reads()).await?.into_iter().map(|index| INDEX.read(index)).collect()
    }

    /// Returns the leaves of a tenant or a plan that belong to no event, and those that the table of leaves lacks.
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
            bound(within.start),
            bound(within.end),
        )
        .fetch(self.ledger.reads());
        let mut unclaimed: Vec<_> = missing.into_iter().map(|index| (index, None)).collect();
        while let Some(row) = rows.try_next().await? {
            let index = INDEX.read(row.leaf_index)?;
            if !log.is_claimed(index) {
                let place = u64::try_from(row.seq).ok().map(|seq| (row.tenant, row.plan, seq));
                unclaimed.push((index, place));
            }
        }
        Ok(unclaimed)
    }
}
