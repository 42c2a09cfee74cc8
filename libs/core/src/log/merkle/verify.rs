//! Verifying proofs, by the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2.

use crate::hash::Hash;
use crate::log::merkle::{empty_root, node_hash};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum ProofError {
    #[error("the tree has no such leaf")]
    Index,
    #[error("the older tree is the larger one")]
    Sizes,
    #[error("the proof has too few hashes")]
    Short,
    #[error("the proof has too many hashes")]
    Long,
    #[error("the proof does not lead to the older tree's root")]
    OldRoot,
    #[error("the proof does not lead to the root")]
    Root,
}

/// Verifies that the leaf of this hash is the `index`-th of the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index);
    }
    let (mut climb, mut hash) = (Climb { node: index, last: size - 1 }, *leaf_hash);
    for sibling in proof {
        hash = match climb.step()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    climb.end()?;
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the tree of `size` leaves with `root` continues the tree of `old` leaves with `old_root`: that its first
/// leaves are those of the other, in the same order.
///
/// Every tree continues the empty one, and itself; the proof is then empty, and is refused if it is not.
pub fn verify_consistency(old: u64, size: u64, proof: &[Hash], old_root: &Hash, root: &Hash) -> Result<(), ProofError> {
    if old > size {
        return Err(ProofError::Sizes);
    }
    if old == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRoot);
    }
    if old == 0 || old == size {
        return match proof {
            [_, ..] => Err(ProofError::Long),
            [] if old == size && old_root != root => Err(ProofError::Root),
            [] => Ok(()),
        };
    }
    // The proof begins at the old tree's last full subtree. Where that is the whole old tree, its hash is the old root.
    let (first, rest) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some(split) => split,
        None => return Err(ProofError::Short),
    };
    let level = old.trailing_zeros();
    let mut climb = Climb { node: (old - 1) >> level, last: (size - 1) >> level };
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in rest {
        match climb.step()? {
            Side::Left => {
                old_hash = node_hash(sibling, &old_hash);
                hash = node_hash(sibling, &hash);
            }
            Side::Right => hash = node_hash(&hash, sibling),
        }
    }
    climb.end()?;
    if old_hash != *old_root {
        Err(ProofError::OldRoot)
    } else if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// The way from a node to the root: its index and that of its level's last node, which is 0 at the root.
struct Climb {
    node: u64,
    last: u64,
}

/// On which side of the node the next hash of the proof belongs.
enum Side {
    Left,
    Right,
}

impl Climb {
    /// The side of the node's sibling; then goes up past it, to the next node that has one.
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Long);
        }
        // The last node of its level, if it is a left one, has no sibling until it meets one further up.
        if self.node == self.last {
            let alone = self.node.trailing_zeros();
            self.up(alone);
        }
        let side = if self.node & 1 == 1 { Side::Left } else { Side::Right };
        self.up(1);
        Ok(side)
    }

    fn up(&mut self, levels: u32) {
        self.node >>= levels;
        self.last >>= levels;
    }

    fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Short) }
    }
}
