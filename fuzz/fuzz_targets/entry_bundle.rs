//! Fuzzes the parser of entry bundles and that of the leaves in them. The first byte of the input is the width of the bundle
//! minus 1; the other bytes are the bundle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealbus_core::event::Leaf;
use sealbus_core::log::tile::{TileId, TileKind, encode_entry_bundle, parse_entry_bundle};

fuzz_target!(|bytes: &[u8]| {
    let Some((width, bundle)) = bytes.split_first() else { return };
    let id = TileId::new(TileKind::Entries, 0, u16::from(*width) + 1).expect("a width from 1 to 256 is valid");
    let Ok(leaves) = parse_entry_bundle(id, bundle) else { return };
    assert_eq!(leaves.len(), usize::from(id.width()));
    assert_eq!(encode_entry_bundle(&leaves).as_deref(), Ok(bundle));
    for bytes in leaves {
        if let Ok(leaf) = Leaf::decode(bytes) {
            assert_eq!(leaf.encode(), bytes);
        }
    }
});
