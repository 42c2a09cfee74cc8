//! The stored hash tiles: read for proofs, for export and for verification, written when the tree grows.

use futures::{Stream, TryStreamExt, stream};
use sealbus_core::log::tile::{HashTile, TileId, TileKind, Tiles};
use sqlx::PgConnection;

use super::Log;
use crate::LedgerError;
use crate::pg::{Column, bound};

/// Tiles that are read at a time: at most 128 KiB. A log of a few thousand leaves needs several reads, so that tests cover that.
pub(crate) const TILE_PAGE: u8 = 16;

const INDEX: Column = Column::new("tiles", "index");

impl Log<'_> {
    /// Returns a hash tile, cut to the width of `id`; `None` if the stored tile is missing or narrower.
    pub async fn hash_tile(self, id: TileId) -> Result<Option<HashTile>, LedgerError> {
        let lane = self.ledger.reads();
        let tiles = lane.within(async { self.read_tiles(&mut *lane.acquire().await?, [id]).await }).await?;
        Ok(tiles.hashes(id).and_then(|hashes| HashTile::new(id, hashes.to_vec()).ok()))
    }

    /// Returns a stream of the hash tiles of the tree of this size, each cut to the width that it has in that tree. Tiles that are
    /// missing or narrower are left out, and a reader notices that they are missing.
    pub fn tiles(self, size: u64) -> impl Stream<Item = Result<(TileId, Vec<u8>), LedgerError>> {
        let levels =
            (0..=u8::MAX).take_while(move |level| TileId::in_tree(TileKind::Hashes(*level), 0, size).is_some());
        let pages = levels.flat_map(move |level| {
            let starts = (0..).step_by(usize::from(TILE_PAGE));
            starts
                .take_while(move |first| TileId::in_tree(TileKind::Hashes(level), *first, size).is_some())
                .map(move |first| (level, first))
        });
        stream::iter(pages.map(Ok))
            .and_then(move |(level, first)| async move {
                let stored = self.stored_tiles(level, first).await?;
                let tiles = stored.into_iter().filter_map(move |(n, mut hashes)| {
                    let id = TileId::in_tree(TileKind::Hashes(level), n, size)?;
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

    /// Reads up to [`TILE_PAGE`] stored tiles of a level, beginning at number `first`: their numbers and hashes, unchecked.
    pub(crate) async fn stored_tiles(self, level: u8, first: u64) -> Result<Vec<(u64, Vec<u8>)>, LedgerError> {
        let tiles = sqlx::query!(
            "-- stored_tiles
            SELECT index, hashes FROM sealbus.tiles WHERE log_id = $1 AND level = $2 AND index >= $3 AND index < $4 ORDER BY index",
            self.ledger.deployment().log_id,
            i16::from(level),
            bound(first),
            bound(first.saturating_add(TILE_PAGE.into())),
        );
        let tiles = tiles.fetch_all(self.ledger.reads()).await?;
        tiles.into_iter().map(|tile| Ok((INDEX.read(tile.index)?, tile.hashes))).collect()
    }

    /// Reads some tiles, with the widths that they have now. Missing ones are left out.
    pub(super) async fn read_tiles(
        self,
        connection: &mut PgConnection,
        ids: impl IntoIterator<Item = TileId>,
    ) -> Result<Tiles, LedgerError> {
        let (levels, places): (Vec<i16>, Vec<i64>) = ids.into_iter().filter_map(row_key).unzip();
        if levels.is_empty() {
            return Ok(Tiles::default());
        }
        let rows = sqlx::query!(
            "-- read_tiles
            SELECT t.level, t.index, t.width, t.hashes
            FROM unnest($2::smallint[], $3::bigint[]) AS w (level, index)
            JOIN sealbus.tiles t ON t.log_id = $1 AND t.level = w.level AND t.index = w.index",
            self.ledger.deployment().log_id,
            &levels,
            &places
        );
        let tiles = rows.fetch_all(connection).await?.into_iter().map(|row| {
            let (level, index) = (row.level, row.index);
            let id = match (level.try_into(), index.try_into(), row.width.try_into()) {
                (Ok(level), Ok(n), Ok(width)) => TileId::new(TileKind::Hashes(level), n, width),
                _ => None,
            };
            let tile = id.and_then(|id| HashTile::parse(id, &row.hashes).ok());
            let hashes = Column::new("tiles", "hashes");
            tile.ok_or_else(|| hashes.corrupt(format!("tile {index} of level {level} does not have its form")))
        });
        tiles.collect()
    }

    /// Stores tiles that are new or wider than before.
    pub(super) async fn write_tiles(
        self,
        connection: &mut PgConnection,
        tiles: &[HashTile],
    ) -> Result<(), LedgerError> {
        let (levels, places): (Vec<i16>, Vec<i64>) = tiles.iter().filter_map(|tile| row_key(tile.id())).unzip();
        let width = Column::new("tiles", "width");
        let widths: Vec<i16> = tiles.iter().map(|tile| width.fit(tile.id().width())).collect::<Result<_, _>>()?;
        let hashes: Vec<Vec<u8>> = tiles.iter().map(HashTile::encode).collect();
        sqlx::query!(
            "-- write_tiles
            INSERT INTO sealbus.tiles AS t (log_id, level, index, width, hashes)
            SELECT $1, w.* FROM unnest($2::smallint[], $3::bigint[], $4::smallint[], $5::bytea[]) AS w
            ON CONFLICT (log_id, level, index) DO UPDATE SET width = excluded.width, hashes = excluded.hashes
            WHERE t.width < excluded.width",
            self.ledger.deployment().log_id,
            &levels,
            &places,
            &widths,
            &hashes,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Returns level and index of the row of a hash tile; `None` for an entry bundle, which is not stored.
fn row_key(id: TileId) -> Option<(i16, i64)> {
    match id.kind() {
        TileKind::Hashes(level) => Some((level.into(), bound(id.n()))),
        TileKind::Entries => None,
    }
}
