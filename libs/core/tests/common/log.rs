//! A sample log in memory, and keys that sign it.

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

/// A tree that is stored as tiles only.
#[derive(Default)]
pub(crate) struct Tree {
    pub edge: EdgeTiles,
    pub tiles: Tiles,
}

impl Tree {
    /// Creates the tree of these leaves, appended in batches of `batch` leaves.
    pub(crate) fn of(leaf_hashes: &[Hash], batch: usize) -> Self {
        let mut tree = Self::default();
        leaf_hashes.chunks(batch).for_each(|hashes| tree.append(hashes));
        tree
    }

    /// Appends leaves as a sealer does after a restart, starting from the partial tiles.
    pub(crate) fn append(&mut self, leaf_hashes: &[Hash]) {
        self.edge = EdgeTiles::new(self.edge.size(), &self.tiles).unwrap();
        self.edge.append(leaf_hashes).unwrap().into_iter().for_each(|tile| self.tiles.insert(tile));
    }

    /// Returns the inclusion proof of a leaf in the tree of `size` leaves.
    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        self.prove(&ProofNodes::inclusion(index, size).unwrap())
    }

    /// Returns the consistency proof between two sizes.
    pub(crate) fn consistency(&self, old: u64, size: u64) -> Vec<Hash> {
        self.prove(&ProofNodes::consistency(old, size).unwrap())
    }

    /// Computes a proof from the tiles that contain its nodes, and no others.
    fn prove(&self, proof: &ProofNodes) -> Vec<Hash> {
        let ids = tiles_of(proof, self.edge.size());
        let fetched = ids.into_iter().map(|id| HashTile::new(id, self.tiles.hashes(id).unwrap().to_vec()).unwrap());
        let fetched: Tiles = fetched.collect();
        proof.prove(|node| fetched.hash(node)).unwrap()
    }
}

/// Returns the tiles of a tree of `size` leaves that contain the nodes of a proof.
pub(crate) fn tiles_of(proof: &ProofNodes, size: u64) -> BTreeSet<TileId> {
    proof.nodes().filter_map(|node| TileId::holding(node, size)).collect()
}

/// Returns the hashes of the leaves `leaf 0`, `leaf 1` and so on.
pub(crate) fn leaf_hashes(count: usize) -> Vec<Hash> {
    (0..count).map(|index| merkle::leaf_hash(format!("leaf {index}").as_bytes())).collect()
}

/// Returns a keyring with the key of a log and the key of a witness.
pub(crate) fn keyring(log: [u8; 32], witness: [u8; 32]) -> Keyring {
    let keys = [(KeyKind::Log, log), (KeyKind::Witness, witness)].map(|(kind, seed)| {
        let id = kind.id_of_public(PublicKey::of_seed(&seed).as_bytes());
        json!({ "id": id, "secret": super::base64(&seed) })
    });
    Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

/// Returns the seed of a test key. Each `number` gives another one.
pub(crate) fn seed(number: u8) -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap().wrapping_mul(11) ^ number)
}

/// Returns the signers of a log and of a witness. The numbers choose their seeds.
pub(crate) fn signers(origin: &str, log: u8, witness: &str, number: u8) -> (LogSigner, WitnessSigner) {
    let keyring = keyring(seed(log), seed(number));
    (LogSigner::new(&keyring, origin).unwrap(), WitnessSigner::new(&keyring, witness).unwrap())
}

/// Returns a checkpoint of seven leaves.
pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 7, Hash::of(b"seven")).unwrap()
}

/// Returns the note of [`checkpoint`] with a line of a witness, and the keys: both types of the log's, and the
/// witness's.
pub(crate) fn note() -> (Note, Vec<VerifierKey>) {
    let (log, witness) = signers(ORIGIN, 1, "witness.test", 2);
    let own = log.sign(&checkpoint(), 1000).unwrap();
    let signatures = [own.signatures(), &[witness.cosign(&checkpoint(), 1001)]].concat();
    let key = log.verifier_key();
    let time = key.with_type(SignatureType::Cosignature);
    (Note::new(own.text().to_owned(), signatures).unwrap(), vec![key, time, witness.verifier_key()])
}
