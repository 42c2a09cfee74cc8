//! Everything that a bundle of a ledger holds, read as a stream.

use futures::{Stream, TryStreamExt, stream};
use sealbus_core::event::Record;
use sealbus_core::log::tile::{TileId, TileKind};
use sealbus_core::names::{Plan, Tenant};

use crate::history::record::select_records;
use crate::history::trail::signed;
use crate::verification::Scope;
use crate::{Ledger, LedgerError};

/// Plans whose names are read at a time.
const PLANS: i64 = 1_000;
/// Tiles that are read at a time: 128 KiB. A log of a few thousand leaves has more, so that tests see the seam.
pub(crate) const TILES: u64 = 16;

impl Ledger {
    /// The records in scope and those of the plan of keys, by tenant, plan and seq, byte by byte, as a bundle has them.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] at a row that was not written by Sealbus: `verify` says more.
    pub fn records_in(&self, scope: &Scope) -> impl Stream<Item = Result<Record, LedgerError>> {
        self.plans_by_name(scope)
            .map_ok(|plan_no| {
                select_records!(
                    "records_of_plan",
                    "",
                    "FROM sealbus.events e JOIN sealbus.plans p ON p.plan_no = e.plan_no
                     LEFT JOIN sealbus.log_leaves l ON l.plan_no = e.plan_no AND l.seq = e.seq
                     WHERE e.plan_no = $1 ORDER BY e.seq",
                    plan_no
                )
                .fetch(self.pool())
                .map_err(LedgerError::from)
            })
            .try_flatten()
            .and_then(async |row| row.into_record(&self.deployment().origin))
    }

    /// The hash tiles of the tree of this size, each cut to the width that it has there. One that is not stored, or shorter, is
    /// left out: whoever reads them misses it.
    pub fn tiles_of(&self, size: u64) -> impl Stream<Item = Result<(TileId, Vec<u8>), LedgerError>> {
        let levels = (0..=u8::MAX).take_while(move |level| TileId::at(TileKind::Hashes(*level), 0, size).is_some());
        let pages = levels.flat_map(move |level| {
            let starts = (0..).step_by(usize::try_from(TILES).unwrap_or(usize::MAX));
            starts
                .take_while(move |first| TileId::at(TileKind::Hashes(level), *first, size).is_some())
                .map(move |first| (level, first))
        });
        stream::iter(pages.map(Ok))
            .and_then(move |(level, first)| async move {
                let stored = self.stored_tiles(level, first, TILES).await?;
                let tiles = stored.into_iter().filter_map(move |(n, mut hashes)| {
                    let id = TileId::at(TileKind::Hashes(level), n, size)?;
                    let length = 32 * usize::from(id.width());
                    (hashes.len() >= length).then(|| {
                        hashes.truncate(length);
                        Ok((id, hashes))
                    })
                });
                Ok::<_, LedgerError>(stream::iter(tiles))
            })
            .try_flatten()
    }

    /// Some stored tiles of a level, from one on: each with its number and its hashes, as they stand there.
    pub(crate) async fn stored_tiles(
        &self,
        level: u8,
        first: u64,
        count: u64,
    ) -> Result<Vec<(u64, Vec<u8>)>, LedgerError> {
        let tiles = sqlx::query!(
            "-- stored_tiles
            SELECT index, hashes FROM sealbus.tiles WHERE log_id = $1 AND level = $2 AND index >= $3 AND index < $4 ORDER BY index",
            self.deployment().log_id,
            i16::from(level),
            signed(first),
            signed(first + count),
        )
        .fetch_all(self.pool())
        .await?;
        Ok(tiles.into_iter().filter_map(|tile| Some((u64::try_from(tile.index).ok()?, tile.hashes))).collect())
    }

    /// The numbers of the plans in scope and of the plan of keys, by their names.
    fn plans_by_name(&self, scope: &Scope) -> impl Stream<Item = Result<i64, LedgerError>> {
        let (tenant, plan) = scope.names();
        let (tenant, plan) = (tenant.map(str::to_owned), plan.map(str::to_owned));
        let begin = (String::new(), String::new());
        let pages = stream::try_unfold(begin, move |(after_tenant, after_plan)| {
            let (tenant, plan) = (tenant.clone(), plan.clone());
            async move {
                let (system, keys) = (Tenant::system(), Plan::keys());
                let plans = sqlx::query!(
                    "-- plans_by_name
                    SELECT plan_no, tenant, plan FROM sealbus.plans
                    WHERE ((($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR plan = $2)) OR (tenant = $3 AND plan = $4))
                        AND (tenant, plan) > ($5, $6)
                    ORDER BY tenant, plan LIMIT $7",
                    tenant,
                    plan,
                    system.as_str(),
                    keys.as_str(),
                    after_tenant,
                    after_plan,
                    PLANS,
                )
                .fetch_all(self.pool())
                .await?;
                let Some(last) = plans.last() else { return Ok(None) };
                let behind = (last.tenant.clone(), last.plan.clone());
                let numbers = plans.into_iter().map(|plan| Ok::<_, LedgerError>(plan.plan_no));
                Ok::<_, LedgerError>(Some((stream::iter(numbers), behind)))
            }
        });
        pages.try_flatten()
    }
}
