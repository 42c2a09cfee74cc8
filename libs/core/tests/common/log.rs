//! A log in memory, and keys to sign it with.

use std::collections::BTreeSet;

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::{self, ProofNodes};
use sealbus_core::log::note::{Note, SignatureType, VerifierKey};
use sealbus_core::log::signer::{LogSigner, WitnessSigner};
use sealbus_core::log::tile::{EdgeTiles, HashTile, TileId, Tiles};
use sealbus_core::seal::{KeyKind, Keyring, PublicKey};
use serde_json::json;

pub(crate) const ORIGIN: &str = "bus.test/one";

/// A tree kept as tiles and nothing else.
#[derive(Default)]
pub(crate) struct Tree {
    pub edge: EdgeTiles,
    pub tiles: Tiles,
}

impl Tree {
    /// The tree of these leaves, appended in batches of this many.
    pub(crate) fn of(leaf_hashes: &[Hash], batch: usize) -> Self {
        let mut tree = Self::default();
        leaf_hashes.chunks(batch).for_each(|hashes| tree.append(hashes));
        tree
    }

    /// Appends as a sealer does that has forgotten everything: from the partial tiles.
    pub(crate) fn append(&mut self, leaf_hashes: &[Hash]) {
        self.edge = EdgeTiles::new(self.edge.size(), &self.tiles).unwrap();
        self.edge.append(leaf_hashes).unwrap().into_iter().for_each(|tile| self.tiles.insert(tile));
    }

    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        self.prove(&ProofNodes::inclusion(index, size).unwrap())
    }

    pub(crate) fn consistency(&self, old: u64, size: u64) -> Vec<Hash> {
        self.prove(&ProofNodes::consistency(old, size).unwrap())
    }

    /// The proof from the tiles that are said to be enough for it, and no others.
    fn prove(&self, proof: &ProofNodes) -> Vec<Hash> {
        let ids = tiles_of(proof, self.edge.size());
        let fetched = ids.into_iter().map(|id| HashTile::new(id, self.tiles.hashes(id).unwrap().to_vec()).unwrap());
        let fetched: Tiles = fetched.collect();
        proof.prove(|node| fetched.hash(node)).unwrap()
    }
}

/// The tiles of a tree of `size` leaves that contain the nodes of a proof.
pub(crate) fn tiles_of(proof: &ProofNodes, size: u64) -> BTreeSet<TileId> {
    proof.nodes().filter_map(|node| TileId::holding(node, size)).collect()
}

/// `leaf 0`, `leaf 1` …: the leaves of the published vectors.
pub(crate) fn leaf_hashes(count: usize) -> Vec<Hash> {
    (0..count).map(|index| merkle::leaf_hash(format!("leaf {index}").as_bytes())).collect()
}

/// A keyring of a log's and a witness's key.
pub(crate) fn keyring(log: [u8; 32], witness: [u8; 32]) -> Keyring {
    let keys = [(KeyKind::Log, log), (KeyKind::Witness, witness)].map(|(kind, seed)| {
        let id = kind.id_of_public(PublicKey::of_seed(&seed).as_bytes());
        json!({ "id": id, "secret": super::base64(&seed) })
    });
    Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

/// 32 bytes that differ by `number`, as no generator gives them.
pub(crate) fn seed(number: u8) -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(11) ^ number)
}

/// The signers of a log and a witness whose seeds differ by these numbers.
pub(crate) fn signers(origin: &str, log: u8, witness: &str, number: u8) -> (LogSigner, WitnessSigner) {
    let keyring = keyring(seed(log), seed(number));
    (LogSigner::new(&keyring, origin).unwrap(), WitnessSigner::new(&keyring, witness).unwrap())
}

/// A checkpoint of seven leaves.
pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 7, Hash::of(b"seven")).unwrap()
}

/// Its note with a witness's line, and the keys: the log's of both types, the witness's.
pub(crate) fn note() -> (Note, Vec<VerifierKey>) {
    let (log, witness) = signers(ORIGIN, 1, "witness.test", 2);
    let own = log.sign(&checkpoint(), 1000).unwrap();
    let signatures = [own.signatures(), &[witness.cosign(&checkpoint(), 1001)]].concat();
    let key = log.verifier_key();
    let time = key.with_type(SignatureType::Cosignature);
    (Note::new(own.text().to_owned(), signatures).unwrap(), vec![key, time, witness.verifier_key()])
}
