"""The Merkle tree of RFC 6962, its tiles (c2sp.org/tlog-tiles) and its proofs, transcribed from the recursive definitions."""

from seal import sha256

TILE_HEIGHT, TILE_WIDTH = 8, 256


def node(left, right):
    return sha256(b"\x01" + left + right)


def split(size):
    """Returns the number of leaves of the left subtree: the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


class Tree:
    def __init__(self, leaf_hashes):
        # levels[h][i] is the root over the leaves from i * 2**h to below (i + 1) * 2**h.
        self.levels = [list(leaf_hashes)]
        while len(below := self.levels[-1]) > 1:
            self.levels.append([node(*pair) for pair in zip(below[::2], below[1::2])])

    def root(self, size):
        """Returns the root over the first `size` leaves."""
        return self.span(0, size) if size else sha256(b"")

    def span(self, start, end):
        """Returns the root of the subtree over the leaves from `start` to below `end`."""
        height = (end - start).bit_length() - 1
        if end - start == 1 << height:
            return self.levels[height][start >> height]
        middle = start + split(end - start)
        return node(self.span(start, middle), self.span(middle, end))

    def tile(self, level, n, width):
        """Returns the bytes of a hash tile."""
        return b"".join(self.levels[TILE_HEIGHT * level][TILE_WIDTH * n :][:width])

    def inclusion(self, index, start, end):
        """Returns the inclusion proof of a leaf in the subtree from `start` to below `end`: PATH of RFC 6962, 2.1.1."""
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle:
            return self.inclusion(index, start, middle) + [self.span(middle, end)]
        return self.inclusion(index, middle, end) + [self.span(start, middle)]

    def consistency(self, old, start, end, whole=True):
        """Returns the consistency proof from the first `old` leaves of the subtree: SUBPROOF of RFC 6962, 2.1.2."""
        if old in (0, end - start):
            return [] if whole else [self.span(start, end)]
        middle = start + split(end - start)
        if old <= middle - start:
            return self.consistency(old, start, middle, whole) + [self.span(middle, end)]
        return self.consistency(old - (middle - start), middle, end, False) + [self.span(start, middle)]


def tile_path(level, n, width):
    """Returns the path of a tile. `level` is a number, or "entries" for an entry bundle."""
    digits = f"{n:d}".zfill(-(-len(f"{n:d}") // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    path = "/".join(["tile", str(level)] + ["x" + group for group in groups[:-1]] + groups[-1:])
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tiles(size):
    """Yields (level, n, width) of each hash tile of a tree."""
    level = 0
    while size:
        for start in range(0, size, TILE_WIDTH):
            yield level, start // TILE_WIDTH, min(TILE_WIDTH, size - start)
        level, size = level + 1, size // TILE_WIDTH


def includes(root, size, leaf_hash, index, proof):
    """Verifies an inclusion proof: whether it leads from the leaf at `index` to the root of a tree of `size` leaves."""
    if not 0 <= index < size or any(len(part) != 32 for part in [root, leaf_hash, *proof]):
        return False
    return _root_above(leaf_hash, index, size, proof) == root


def _root_above(leaf_hash, index, size, proof):
    if size == 1 or not proof:
        return leaf_hash if size == 1 and not proof else None
    middle, below, sibling = split(size), proof[:-1], proof[-1]
    if index < middle:
        left = _root_above(leaf_hash, index, middle, below)
        return left and node(left, sibling)
    right = _root_above(leaf_hash, index - middle, size - middle, below)
    return right and node(sibling, right)


def extends(old_root, old, root, size, proof):
    """Verifies a consistency proof: whether the tree of `old` leaves is a prefix of the tree of `size` leaves."""
    if not 0 <= old <= size or any(len(part) != 32 for part in [old_root, root, *proof]):
        return False
    if old == 0:
        return not proof and old_root == sha256(b"") and (size > 0 or root == old_root)
    if old == size or old & (old - 1) == 0:
        proof = [old_root] + proof  # the old tree is a node of the new one, so its root is left out of the proof
    return _both_roots(old, size, proof) == (old_root, root)


def _both_roots(old, size, proof):
    """Returns the roots over the old leaves and over all leaves of this subtree."""
    if old == size or not proof:
        return (proof[0], proof[0]) if old == size and len(proof) == 1 else (None, None)
    middle, below, sibling = split(size), proof[:-1], proof[-1]
    if old <= middle:
        old_root, root = _both_roots(old, middle, below)
        return old_root, root and node(root, sibling)
    old_root, root = _both_roots(old - middle, size - middle, below)
    return old_root and node(sibling, old_root), root and node(sibling, root)
