//! Paths of tiles, and the calculations with them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::log::tile::TileId;

fuzz_target!(|bytes: &[u8]| {
    let Ok(path) = str::from_utf8(bytes) else { return };
    let Ok(id) = path.parse::<TileId>() else { return };
    assert_eq!(id.to_string(), path);
    assert_eq!(TileId::new(id.kind(), id.n(), id.width()), Some(id));
    for size in [id.n(), id.n().saturating_mul(256), u64::MAX] {
        let tile = TileId::in_tree(id.kind(), id.n(), size);
        assert_eq!(id.is_within(size), tile.is_some_and(|tile| id.width() <= tile.width()));
    }
});
