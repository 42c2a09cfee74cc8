"""Makes the golden cases of the log, in the form of the published log vectors. They cover tree, tiles, checkpoints and proofs."""

import base64

import cases
import merkle
import note
import seal
from cases import ORIGIN
from ed25519 import sign

TIME = 1763600460
LEAF_TEXT = "golden "
WITNESS = "witness.golden/w1"


def signer(name, key_name, kind):
    key = cases.ed25519_key(key_name)[1]
    return note.Key(name, kind, key["public"]), key["seed"]


LOG, LOG_TIME = signer(ORIGIN, "log", note.SIGNED), signer(ORIGIN, "log", note.COSIGNED)
WITNESS_1, WITNESS_2 = signer(WITNESS, "witness 1", note.COSIGNED), signer("witness.golden/w2", "witness 2", note.COSIGNED)
STRANGER = signer(ORIGIN, "stranger", note.SIGNED)


def base64_of(data):
    return base64.b64encode(data).decode()


def text_of(size, root, origin=ORIGIN):
    return f"{origin}\n{size}\n{base64_of(root)}\n"


def line(signer, text, time=None):
    """Returns the signature line of a log or witness. `time` is that of a cosignature."""
    key, seed = signer
    if key.kind == note.SIGNED:
        return signature_line(key.name, key.id + sign(seed, text.encode()))
    return signature_line(key.name, key.id + time.to_bytes(8, "big") + sign(seed, note.cosigned(time, text.encode())))


def signature_line(name, signature):
    return f"\u2014 {name} {base64_of(signature)}\n"


def signed(text, *signers, time=TIME):
    """Returns the note of a text. Cosignatures are dated from `time` on, one second after the other."""
    times = iter(range(time, time + len(signers)))
    return f"{text}\n" + "".join(line(signer, text, next(times) if signer[0].kind == note.COSIGNED else None) for signer in signers)


def proof_of(leaf, index, path, checkpoint):
    hashes = "".join(base64_of(part) + "\n" for part in path)
    return f"c2sp.org/tlog-proof@v1\nextra {base64_of(leaf)}\nindex {index}\n{hashes}\n{checkpoint}"


def entry_bundle(leaves):
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def leaf(index):
    return f"{LEAF_TEXT}{index}".encode()


def trees():
    tree = merkle.Tree(seal.leaf_hash(leaf(index)) for index in range(66_000))
    small = [(size, index) for size in range(1, 7) for index in range(size)]
    pairs = [(old, size) for size in range(1, 7) for old in range(1, size + 1)]
    leaves = [leaf(index) for index in range(20)]
    return {
        "leaf_text": LEAF_TEXT, "leaves": leaves, "leaf_hashes": [seal.leaf_hash(data) for data in leaves],
        "roots": [{"size": size, "root": tree.root(size)} for size in [*range(18), 127, 128, 129, 511, 512, 513, 4097, 65_536, 66_000]],
        "inclusion": [
            {"size": size, "index": index, "proof": tree.inclusion(index, 0, size)}
            for size, index in small + [(17, 16), (256, 0), (513, 512), (4097, 4096), (66_000, 65_535)]
        ],
        "consistency": [
            {"old": old, "size": size, "proof": tree.consistency(old, 0, size)}
            for old, size in pairs + [(0, 9), (16, 17), (256, 4097), (511, 513), (512, 513), (65_536, 66_000), (65_537, 66_000)]
        ],
        "refused_inclusion": list(refused_inclusion(tree)), "refused_consistency": list(refused_consistency(tree)),
        "tile_paths": [
            {"level": level, "n": n, "width": width, "path": merkle.tile_path(level, n, width)}
            for level, n, width in [(0, 999, 256), (0, 1000, 255), (1, 999_999, 1), (3, 12_345_678, 256), (62, 0, 9)]
        ],
        "tiles": [
            {"size": size, "level": level, "n": n, "width": width, "path": merkle.tile_path(level, n, width),
             "tile": tree.tile(level, n, width) if width < 4 else None, "sha256": seal.sha256(tree.tile(level, n, width))}
            for size, (level, n, width) in [(size, tile) for size in (256, 514) for tile in merkle.tiles(size)]
        ],
    }


def refused_inclusion(tree):
    path, nothing = tree.inclusion(3, 0, 6), bytes(32)
    for name, index, size, proof in [
        ("a node too many", 3, 6, [*path, nothing]), ("a node too many at the leaf", 3, 6, [nothing, *path]),
        ("a node too few", 3, 6, path[:-1]), ("no node", 3, 6, []), ("a node of 33 bytes", 3, 6, [path[0] + b"\0", *path[1:]]),
        ("an empty node", 3, 6, [b"", *path[1:]]), ("its twin's index", 2, 6, path), ("index at size", 6, 6, path),
        ("size of a smaller tree", 3, 4, path), ("the leaf's own hash", 3, 6, [tree.levels[0][3], *path[1:]]),
    ]:
        yield {"name": name, "leaf_hash": tree.levels[0][3], "index": index, "size": size, "proof": proof, "root": tree.root(6), "refused": "PROOF"}


def refused_consistency(tree):
    path, nothing = tree.consistency(5, 0, 9), bytes(32)
    for name, old, size, old_root, root, proof in [
        ("a node too many", 5, 9, 5, 9, [*path, nothing]), ("a node too few", 5, 9, 5, 9, path[:-1]), ("no node", 5, 9, 5, 9, []),
        ("a node of 31 bytes", 5, 9, 5, 9, [path[0][:31], *path[1:]]),
        ("another root", 5, 9, 5, 8, path), ("another old size", 6, 9, 5, 9, path), ("the smaller one last", 9, 5, 9, 5, path),
        ("one size, two roots", 5, 5, 4, 5, []), ("from 0 with a node", 0, 9, 0, 9, [nothing]),
    ]:
        yield {
            "name": name, "old": old, "size": size, "proof": proof, "old_root": tree.root(old_root), "root": tree.root(root), "refused": "PROOF",
        }


def notes(size, root):
    text = text_of(size, root)
    good = signed(text, LOG, LOG_TIME, WITNESS_1)
    alone = signed(text, LOG)
    signature = sign(LOG[1], text.encode())
    timed = TIME.to_bytes(8, "big") + sign(LOG[1], note.cosigned(TIME, text.encode()))
    under = lambda name, head, body: f"{text}\n" + signature_line(name, head + body)
    of = lambda text, *signers: signed(text, *signers)
    known = [("log", LOG, None), ("time", LOG_TIME, TIME), ("witness", WITNESS_1, TIME + 1)]
    signers = lambda *names: [[key.name, key.kind, time] for name, (key, _), time in known if name in names]
    largest = text_of(2**53 - 1, root)
    for name, made, size_made, by in [
        ("log, its time, a witness", good, size, signers("log", "time", "witness")),
        ("log alone", alone, size, signers("log")),
        ("an unknown witness beside the log", signed(text, WITNESS_2, LOG), size, signers("log")),
        ("an unknown key of the log's name beside it", signed(text, STRANGER, LOG), size, signers("log")),
        ("the log's key id under another name beside it", alone + signature_line("other.golden", LOG[0].id + signature), size, signers("log")),
        ("the largest size", signed(largest, LOG), 2**53 - 1, signers("log")),
        ("size 0", signed(text_of(0, seal.sha256(b"")), LOG), 0, signers("log")),
    ]:
        yield {"name": name, "note": made, "size": size_made, "root": seal.sha256(b"") if size_made == 0 else root, "signers": by}
    for name, made in [
        ("nothing", ""), ("a size too large", of(text_of(2**53, root), LOG)), ("a size of 400 digits", of(text_of("9" * 400, root), LOG)),
        ("a negative size", of(text_of(-1, root), LOG)), ("a size in other digits", of(text_of("\u0669", root), LOG)), ("00 for 0", of(text_of("00", seal.sha256(b"")), LOG)),
        ("another origin", of(text_of(size, root, "bus.golden/other"), LOG)),
        ("an extension line", of(text + "more\n", LOG)), ("a root of 33 bytes", of(text_of(size, root + b"\0"), LOG)),
        ("a root without padding", of(text.replace("=", ""), LOG)), ("a root in another spelling", of(respelled(text), LOG)),
        ("a stranger alone", of(text, STRANGER)), ("times alone", of(text, LOG_TIME, WITNESS_1)),
        ("a signature of another text", f"{text_of(size + 1, root)}\n" + line(LOG, text)),
        ("a signature with a bit flipped", under(ORIGIN, LOG[0].id, bytes([signature[0] ^ 1]) + signature[1:])),
        ("a signature cut", under(ORIGIN, LOG[0].id, signature[:63])), ("a signature with a byte more", under(ORIGIN, LOG[0].id, signature + b"\0")),
        ("no signature after the key id", under(ORIGIN, LOG[0].id, b"")),
        ("the time of the log's line moved", alone + signature_line(ORIGIN, LOG_TIME[0].id + (TIME + 1).to_bytes(8, "big") + timed[8:])),
        ("a witness's line over the text alone", alone + signature_line(WITNESS, WITNESS_1[0].id + TIME.to_bytes(8, "big") + sign(WITNESS_1[1], text.encode()))),
        ("the log's signature under its time's key id", under(ORIGIN, LOG_TIME[0].id, timed[:8] + signature)),
        ("no blank line", good.replace("\n\n", "\n")), ("a blank line at the end", good + "\n"), ("no newline at the end", good[:-1]),
        ("no signature", text + "\n"), ("no signature, no blank line", text), ("a hyphen for the dash", good.replace("\u2014", "-")),
        ("a tab", good.replace("\u2014 ", "\u2014\t")),
        ("carriage returns", good.replace("\n", "\r\n")), ("a NUL", good.replace(ORIGIN, ORIGIN + "\0", 1)),
        ("base64 without padding", good.replace("=", "")), ("text after the signatures", good + "more\n"),
        ("a byte order mark", "\ufeff" + good),
    ]:
        yield {"name": name, "note": made, "refused": "CHECKPOINT"}
    yield {"name": "not UTF-8", "note_b64": base64_of(good.encode().replace("\u2014".encode(), b"\xe2\x80", 1)), "refused": "CHECKPOINT"}


def respelled(text):
    """Returns the text with an unused bit of the base64 root set."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = text[-3]
    return text[:-3] + letters[letters.index(last) + 1] + text[-2:]


def sealed_leaves():
    before = None
    for seq in (1, 2, 3):
        event, _, _, (event_hash, mac, sig) = cases.event_of(cases.SIGN, str(seq), seq=seq, before=before)
        before = event_hash.hex()
        yield seal.leaf_of(seal.encode(event), mac, sig)


def events():
    leaves = list(sealed_leaves())
    tree = merkle.Tree(map(seal.leaf_hash, leaves))
    text = text_of(3, tree.root(3))
    checkpoint, path = signed(text, LOG, LOG_TIME, WITNESS_1), tree.inclusion(1, 0, 3)
    good, nothing = proof_of(leaves[1], 1, path, checkpoint), base64_of(bytes(32)) + "\n"
    shown = {
        "comment": "real leaves: an entry bundle, its tile, a checkpoint and a tlog-proof of index 1", "leaves": leaves, "root": tree.root(3),
        "bundle_path": merkle.tile_path("entries", 0, 3), "bundle": entry_bundle(leaves), "tile_path": merkle.tile_path(0, 0, 3),
        "tile": tree.tile(0, 0, 3), "note": checkpoint, "proof": good,
    }
    last = base64_of(path[-1]) + "\n"
    refused = [
        ("index at size", good.replace("index 1", "index 3")), ("an index of 400 digits", good.replace("index 1", "index " + "1" * 400)),
        ("no index", good.replace("index 1\n", "")), ("a node too many", good.replace(last, last + nothing)),
        ("a node of 31 bytes", good.replace(last, base64_of(path[-1][:31]) + "\n")), ("an empty leaf", proof_of(b"", 1, path, checkpoint)),
        ("no blank line", good.replace("\n\n", "\n", 1)), ("carriage returns", good.replace("\n", "\r\n")),
        ("no checkpoint", good.split("\n\n")[0] + "\n\n"),
        ("a checkpoint of another size", proof_of(leaves[1], 1, path, signed(text_of(5, tree.root(3)), LOG))),
        ("a checkpoint signed by a stranger", proof_of(leaves[1], 1, path, signed(text, STRANGER))),
    ]
    return shown, [{"name": name, "proof": proof, "refused": "PROOF"} for name, proof in refused]


def log_file():
    shown, refused_proofs = events()
    checkpoint = {
        "origin": ORIGIN, "log_seed": LOG[1], "witness": WITNESS, "witness_seed": WITNESS_1[1], "time": TIME,
        "log_vkey": LOG[0].vkey, "log_time_vkey": LOG_TIME[0].vkey, "witness_vkey": WITNESS_1[0].vkey,
    }
    tree = merkle.Tree(seal.leaf_hash(leaf(index)) for index in range(17))
    return {
        "about": f"Made by deploy/verify/vectors.py; test keys only. Leaf i is `{LEAF_TEXT}` and i in decimal. Bytes are lower-case hex.",
        **trees(), "checkpoint": checkpoint, "notes": list(notes(17, tree.root(17))), "events": shown, "refused_proofs": refused_proofs,
    }
