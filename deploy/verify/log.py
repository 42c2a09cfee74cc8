"""Reads the log of a bundle from its notes and tiles. Performs checks 1 to 6 on them, and check 13 on each event."""

import time
from bisect import bisect_right
from functools import cache, partial
from itertools import accumulate

import bundle
import merkle
import note
import seal

MAX_AHEAD_SECONDS = 300  # how far ahead of the clock a cosignature may be dated


class Log:
    """The checked log. `report` receives the findings about notes and tiles."""

    def __init__(self, files, trust, now, max_age, report):
        keys = trust.policy.keys(trust.origin)
        self.read_note = cache(partial(note.read_note, origin=trust.origin, keys=keys, latest=now + MAX_AHEAD_SECONDS))
        report.is_whole = self.is_whole = any(path.startswith("tile/") for path in files)
        notes = {}
        for path in ["checkpoint"] + sorted(path for path in files if path.startswith("anchors/")):
            try:
                notes[path] = self.read_note(bundle.read(files, path))
            except note.Refused as refused:
                report.add((path,), "CHECKPOINT", str(refused))
        # The checkpoint of a bundle of plans counts as an anchor.
        anchors = [anchor for path, anchor in notes.items() if path != "checkpoint" or not self.is_whole]
        newest = max(anchors, key=lambda anchor: anchor.size, default=None)
        self.anchored = newest.size if newest else 0
        self.checkpoint = notes.get("checkpoint", newest)
        self.size = self.checkpoint.size if self.checkpoint else 0
        self.tree = self.tree_of(files, report) if self.is_whole and self.checkpoint else None
        self.check_anchors(anchors, report)
        if newest:
            self.check_newest([anchor for anchor in anchors if anchor[:2] == newest[:2]], trust, now, max_age, report)
        elif max_age is not None:
            report.add(("anchors",), "STALE", "there is no anchor")
        # For each size, in ascending order: the earliest trusted time of a note of this size or more.
        dated = sorted((dated.size, min(dated.times)) for dated in notes.values() if dated.times)
        self.sizes = [size for size, _ in dated]
        self.earliest_from = list(accumulate((time for _, time in reversed(dated)), min))[::-1]

    def tree_of(self, files, report):
        """Performs check 4. Returns the tree of the tiles, or None if a tile is wrong, in which case leaves are not compared."""
        tiles = {tile: bundle.tile(files, *tile) for tile in merkle.tiles(self.size)}
        wrong = [tile for tile, data in tiles.items() if len(data) != 32 * tile[2]]
        if not wrong:
            lowest = b"".join(data for (level, _, _), data in tiles.items() if level == 0)
            tree = merkle.Tree(lowest[start : start + 32] for start in range(0, len(lowest), 32))
            wrong = [tile for tile, data in tiles.items() if data != tree.tile(*tile)]
            if not wrong and tree.root(self.size) != self.checkpoint.root:
                wrong = [max(tile for tile in tiles if tile[0] == 0)]
        for tile in wrong:
            report.add((merkle.tile_path(*tile),), "TILE", "the tile is missing, cut, or not the hashes of the tiles below")
        return None if wrong else tree

    def root(self, size):
        """Returns the root that the tree had at `size`, or None if it is not known."""
        if self.tree:
            return self.tree.root(size)
        return self.checkpoint.root if size == self.size else None

    def check_anchors(self, anchors, report):
        """Performs checks 2 and 3."""
        roots = {}
        for anchor in anchors:
            place = (f"size {anchor.size}",)
            if roots.setdefault(anchor.size, anchor.root) != anchor.root:
                report.add(place, "SPLIT_VIEW", "anchors of this size have different roots")
            if anchor.size > self.size:
                report.add(place, "INCONSISTENT", f"the tree has only {self.size} leaves")
            elif self.root(anchor.size) not in (anchor.root, None):
                report.add(place, "INCONSISTENT", "the tree has another root at this size")

    def check_newest(self, notes, trust, now, max_age, report):
        """Performs checks 5 and 6, and sets the range that the report vouches for.

        `notes` are all notes of the newest anchor's size and root.
        """
        place, last = (f"size {self.anchored}",), max((time for anchor in notes for time in anchor.times), default=None)
        # Without tiles only the newest anchor itself can vouch: whether it continues older anchors cannot be checked.
        is_reference = self.checkpoint[:2] == notes[0][:2]
        vouches = place not in report.findings and (self.tree if self.is_whole else is_reference)
        if not trust.policy.is_met({key for anchor in notes for key, _ in anchor.signers}):
            report.add(place, "QUORUM", "the newest anchor lacks witnesses")
            vouches = False
        if max_age is not None and (last is None or last < now - max_age):
            report.add(place, "STALE", f"the newest trusted time is {stamp(last) if last else 'absent'}")
        if vouches and self.anchored:
            report.vouched = self.anchored - 1, last

    def seen(self, index):
        """Returns the earliest trusted time over a leaf, in microseconds since 1970."""
        first = bisect_right(self.sizes, index)
        return self.earliest_from[first] * 1_000_000 if first < len(self.sizes) else float("inf")

    def faults_of_leaf(self, leaf, index, proof):
        """Performs check 13 on an event with a log index.

        A proof must hold if there is one, and is required in a bundle of plans.
        """
        if proof is not None or not self.is_whole:
            try:
                proven, proven_index, checkpoint = note.read_proof(proof or "", self.read_note)
            except note.Refused as refused:
                yield "PROOF", str(refused)
                return
            if proven_index != index or checkpoint[:2] != (self.checkpoint or checkpoint)[:2]:
                yield "PROOF", "the proof is of another index, or against another checkpoint"
            if proven != leaf:
                yield "LEAF_MISMATCH", "the proof is of another leaf"
        if self.tree and self.tree.levels[0][index : index + 1] != [seal.leaf_hash(leaf)]:
            yield "LEAF_MISMATCH", "the leaf at the log index is another"


def stamp(seconds):
    """Formats seconds since 1970 as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
