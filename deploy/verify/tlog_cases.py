"""Makes the golden log as files. It is a log of tlog-tiles with a checkpoint for each of its sizes, and a signed note that is no
checkpoint."""

import merkle
import seal
from log_cases import LOG, base64_of, entry_bundle, leaf, signed, signer, text_of
from note import SIGNED

SIZE = 15
NOTE_TEXT = "A note with any text.\n"


def log_files():
    leaves = [leaf(index) for index in range(SIZE)]
    tree = merkle.Tree(map(seal.leaf_hash, leaves))
    files = {f"checkpoint.{size}": signed(text_of(size, tree.root(size)), LOG).encode() for size in range(SIZE + 1)}
    files["checkpoint"] = files[f"checkpoint.{SIZE}"]
    for size in range(1, SIZE + 1):
        files[merkle.tile_path(0, 0, size)] = tree.tile(0, 0, size)
        files[merkle.tile_path("entries", 0, size)] = entry_bundle(leaves[:size])
    return files


def tlog_file():
    author = signer("note.golden/author", "author", SIGNED)
    return {
        "about": "Made by deploy/verify/vectors.py; test keys only. Files are base64.",
        "vkey": LOG[0].vkey, "files": {path: base64_of(data) for path, data in log_files().items()},
        "note": {"vkey": author[0].vkey, "text": NOTE_TEXT, "note": signed(NOTE_TEXT, author)},
    }
