"""The tree of RFC 6962 over leaf hashes, its tiles (C2SP tlog-tiles), its proofs: each a transcript of its definition."""

from seal import sha256

TILE_HEIGHT, TILE_WIDTH = 8, 256


def node(left, right):
    return sha256(b"\x01" + left + right)


def split(size):
    """The largest power of two below size: so many leaves are the left subtree."""
    return 1 << (size - 1).bit_length() - 1


class Tree:
    def __init__(self, leaf_hashes):
        self.levels = [list(leaf_hashes)]  # levels[h][i] is the root of leaves i * 2**h to (i + 1) * 2**h
        while len(below := self.levels[-1]) > 1:
            self.levels.append([node(*pair) for pair in zip(below[::2], below[1::2])])

    def root(self, size):
        return self.span(0, size) if size else sha256(b"")

    def span(self, start, end):
        """The root of the subtree over leaves start to end."""
        height = (end - start).bit_length() - 1
        if end - start == 1 << height:
            return self.levels[height][start >> height]
        middle = start + split(end - start)
        return node(self.span(start, middle), self.span(middle, end))

    def tile(self, level, n, width):
        return b"".join(self.levels[TILE_HEIGHT * level][TILE_WIDTH * n :][:width])

    def inclusion(self, index, start, end):
        """PATH of RFC 6962, 2.1.1, of a leaf in the subtree over leaves start to end."""
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle:
            return self.inclusion(index, start, middle) + [self.span(middle, end)]
        return self.inclusion(index, middle, end) + [self.span(start, middle)]

    def consistency(self, old, start, end, whole=True):
        """SUBPROOF of RFC 6962, 2.1.2; `old` leaves of the subtree were there before."""
        if old in (0, end - start):
            return [] if whole else [self.span(start, end)]
        middle = start + split(end - start)
        if old <= middle - start:
            return self.consistency(old, start, middle, whole) + [self.span(middle, end)]
        return self.consistency(old - (middle - start), middle, end, False) + [self.span(start, middle)]


def tile_path(level, n, width):
    """`level` is a number, or "entries"."""
    digits = f"{n:d}".zfill(-(-len(f"{n:d}") // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join(["tile", str(level)] + ["x" + group for group in groups[:-1]] + groups[-1:])
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tiles(size):
    """(level, n, width) of each tile of a tree."""
    level = 0
    while size:
        for start in range(0, size, TILE_WIDTH):
            yield level, start // TILE_WIDTH, min(TILE_WIDTH, size - start)
        level, size = level + 1, size // TILE_WIDTH


def includes(root, size, leaf_hash, index, proof):
    """Whether the proof leads from the leaf at index to the root of a tree of that size."""
    if not 0 <= index < size or any(len(part) != 32 for part in [root, leaf_hash, *proof]):
        return False
    return _root_above(leaf_hash, index, size, proof) == root


def _root_above(leaf_hash, index, size, proof):
    if size == 1 or not proof:
        return leaf_hash if size == 1 and not proof else None
    middle, below, beside = split(size), proof[:-1], proof[-1]
    if index < middle:
        left = _root_above(leaf_hash, index, middle, below)
        return left and node(left, beside)
    right = _root_above(leaf_hash, index - middle, size - middle, below)
    return right and node(beside, right)


def extends(old_root, old, root, size, proof):
    """Whether the proof shows that the tree begins with the old one."""
    if not 0 <= old <= size or any(len(part) != 32 for part in [old_root, root, *proof]):
        return False
    if old == 0:
        return not proof and old_root == sha256(b"") and (size > 0 or root == old_root)
    if old == size or old & (old - 1) == 0:
        proof = [old_root] + proof  # it is a node of the tree itself, and so left out of the proof
    return _both_roots(old, size, proof) == (old_root, root)


def _both_roots(old, size, proof):
    """The roots of the old leaves of this subtree, and of all of them."""
    if old == size or not proof:
        return (proof[0], proof[0]) if old == size and len(proof) == 1 else (None, None)
    middle, below, beside = split(size), proof[:-1], proof[-1]
    if old <= middle:
        before, now = _both_roots(old, middle, below)
        return before, now and node(now, beside)
    before, now = _both_roots(old - middle, size - middle, below)
    return before and node(beside, before), now and node(beside, now)
