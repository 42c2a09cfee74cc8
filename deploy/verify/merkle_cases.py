"""Makes the golden cases of RFC 6962 proofs, true and false, in the form of the vectors of transparency-dev/merkle."""

import merkle
import seal
from log_cases import base64_of

LEAVES = [b"", b"\x00", b"\x01", b"golden", bytes(32), bytes(range(64)), "é".encode(), b"golden 7"]
OTHER = seal.sha256(b"golden, another hash")
TREE = merkle.Tree(seal.leaf_hash(b"golden %d" % index) for index in range(300))


def changed_proofs(proof, root):
    """Yields the proof and faulty variants of it, each with a description."""
    yield "as it is", proof
    yield "a hash too many at the end", [*proof, OTHER]
    yield "the root too many at the end", [*proof, root]
    yield "a hash too many at the start", [OTHER, *proof]
    if proof:
        yield "the last hash missing", proof[:-1]
        yield "the first hash missing", proof[1:]
        yield "no hash", []
        yield "a bit flipped", [proof[0][:-1] + bytes([proof[0][-1] ^ 1]), *proof[1:]]
        yield "a hash of 31 bytes", [*proof[:-1], proof[-1][:31]]
        yield "an empty hash", [b"", *proof[1:]]
        yield "the hashes reversed", proof[::-1]


def case(claim, proof, description, holds):
    """Returns a case in the form of the vectors, in which hashes are base64."""
    written = {name: base64_of(value) if isinstance(value, bytes) else value for name, value in claim.items()}
    return written | {"proof": list(map(base64_of, proof)), "desc": description, "wantErr": not holds}


def inclusion():
    for size, index in [(1, 0), (2, 0), (2, 1), (3, 2), (7, 5), (8, 0), (8, 7), (300, 256), (300, 299)]:
        root, leaf_hash, proof = TREE.root(size), TREE.levels[0][index], TREE.inclusion(index, 0, size)
        claims = [(what, index, size, leaf_hash, made, root) for what, made in changed_proofs(proof, root)]
        claims += [
            ("the next index", index + 1, size, leaf_hash, proof, root), ("the sibling's index", index ^ 1, size, leaf_hash, proof, root),
            ("an index of 2^64 - 1", 2**64 - 1, size, leaf_hash, proof, root), ("a size of 0", index, 0, leaf_hash, proof, root),
            ("half the size", index, size // 2, leaf_hash, proof, root), ("twice the size", index, 2 * size, leaf_hash, proof, root),
            ("another leaf", index, size, OTHER, proof, root), ("another root", index, size, leaf_hash, proof, OTHER),
        ]
        for what, index_claimed, size_claimed, leaf_claimed, made, root_claimed in claims:
            claim = {"leafIdx": index_claimed, "treeSize": size_claimed, "root": root_claimed, "leafHash": leaf_claimed}
            holds = merkle.includes(root_claimed, size_claimed, leaf_claimed, index_claimed, made)
            yield case(claim, made, f"leaf {index} of {size}: {what}", holds)


def consistency():
    for old, size in [(0, 0), (0, 5), (1, 1), (1, 2), (2, 5), (3, 7), (4, 8), (6, 8), (7, 8), (256, 300), (299, 300)]:
        old_root, root, proof = TREE.root(old), TREE.root(size), TREE.consistency(old, 0, size)
        claims = [(what, old, size, old_root, made, root) for what, made in changed_proofs(proof, root)]
        claims += [
            ("the old size one more", old + 1, size, old_root, proof, root), ("the size one more", old, size + 1, old_root, proof, root),
            ("the sizes swapped", size, old, old_root, proof, root), ("the roots swapped", old, size, root, proof, old_root),
            ("another old root", old, size, OTHER, proof, root), ("another root", old, size, old_root, proof, OTHER),
            ("a size of 2^64 - 1", old, 2**64 - 1, old_root, proof, root),
        ]
        for what, old_claimed, size_claimed, old_root_claimed, made, root_claimed in claims:
            claim = {"size1": old_claimed, "size2": size_claimed, "root1": old_root_claimed, "root2": root_claimed}
            holds = merkle.extends(old_root_claimed, old_claimed, root_claimed, size_claimed, made)
            yield case(claim, made, f"{old} to {size}: {what}", holds)


def merkle_file():
    tree = merkle.Tree(map(seal.leaf_hash, LEAVES))
    return {
        "about": "Made by deploy/verify/vectors.py. Hashes of proofs are base64, other bytes are hex.",
        "leaf_hex": LEAVES, "root_hex_by_size_0_to_8": [tree.root(size) for size in range(len(LEAVES) + 1)],
        "inclusion": list(inclusion()), "consistency": list(consistency()),
    }
