"""Checkpoints and their signatures (c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature), proofs (tlog-proof) and policies
(tlog-policy)."""

import base64
import binascii
import re
from typing import NamedTuple

import ed25519
import merkle
import seal

SIGNED, COSIGNED = 1, 4  # signature types: over the text; over a time and the text
NUMBER = "(0|[1-9][0-9]{0,15})"
NOTE = re.compile(rf"([^\n]+)\n{NUMBER}\n([^\n]+)\n\n((?:\u2014 [^\s+]+ [^\s]+\n)+)")
PROOF = re.compile(rf"c2sp\.org/tlog-proof@v1\nextra ([^\n]+)\nindex {NUMBER}\n((?:[^\n]+\n)*)\n(.+)", re.DOTALL)


class Refused(Exception):
    """The error of a note, proof, key or policy that is refused. The message says why."""


def bytes_of(text):
    """Decodes base64. Only the canonical spelling, with padding, is accepted."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise Refused("not base64 in its canonical spelling")
    return data


class Key(NamedTuple):
    """A key that verifies notes. `kind` is the signature type."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self):
        """The key id of 4 bytes."""
        return seal.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public)[:4]

    @property
    def vkey(self):
        """The text form of the key."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def verifies(self, text, signature):
        """Returns whether the signature is valid, and the time of signing of a cosignature."""
        if self.kind == SIGNED:
            return ed25519.verify(self.public, text, signature), None
        time = int.from_bytes(signature[:8], "big")
        return ed25519.verify(self.public, cosigned(time, text), signature[8:]), time


def cosigned(time, text):
    """Returns the message that a cosignature signs."""
    return b"cosignature/v1\ntime %d\n" % time + text


def key_of(vkey, kind):
    """Parses a vkey of the given signature type."""
    name, _, rest = vkey.partition("+")
    key_id, _, material = rest.partition("+")
    material = bytes_of(material)
    key = Key(name, kind, material[1:])
    if material[:1] != bytes([kind]) or len(key.public) != 32 or key_id != key.id.hex() or not name:
        raise Refused(f"{vkey} is not a vkey of type {kind}")
    return key


class Note(NamedTuple):
    """A verified checkpoint. `signers` are (key, time) of each valid line of a known key; `time` is None for type 1."""

    size: int
    root: bytes
    signers: list

    @property
    def times(self):
        """The trusted times."""
        return [time for _, time in self.signers if time is not None]


def read_note(data, origin, keys, latest=float("inf")):
    """Parses and verifies a checkpoint. Lines of unknown keys, and cosignatures dated after `latest`, are left out."""
    try:
        note = data.decode()
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    found = NOTE.fullmatch(note)
    if not found or any(character < " " and character != "\n" for character in note):
        raise Refused("not a checkpoint")
    text = f"{found[1]}\n{found[2]}\n{found[3]}\n".encode()
    size, root, signers = int(found[2]), bytes_of(found[3]), []
    if found[1] != origin:
        raise Refused("another origin")
    if size >= 2**53 or len(root) != 32 or size == 0 and root != seal.sha256(b""):
        raise Refused("the size or the root is out of range")
    known = {(key.name, key.id): key for key in keys}
    for line in found[4].split("\n")[:-1]:
        _, name, signature = line.split(" ")
        signature = bytes_of(signature)
        if key := known.get((name, signature[:4])):
            signed, time = key.verifies(text, signature[4:])
            if not signed:
                raise Refused(f"invalid signature of {name}")
            if time is None or time <= latest:
                signers.append((key, time))
    if not any(key.kind == SIGNED for key, _ in signers):
        raise Refused("no signature of a pinned log key")
    return Note(size, root, signers)


def read_proof(text, note_of):
    """Parses and verifies a tlog-proof. Returns (leaf, index, checkpoint). `note_of` verifies the checkpoint in it."""
    found = PROOF.fullmatch(text)
    if not found:
        raise Refused("not a tlog-proof with its leaf")
    leaf, index, checkpoint = bytes_of(found[1]), int(found[2]), note_of(found[4].encode())
    path = [bytes_of(part) for part in found[3].split("\n")[:-1]]
    if not merkle.includes(checkpoint.root, checkpoint.size, seal.leaf_hash(leaf), index, path):
        raise Refused("the proof does not lead from the leaf to the checkpoint's root")
    return leaf, index, checkpoint


class Policy:
    """A policy: the trusted logs and witnesses, and the quorum."""

    def __init__(self, text):
        self.logs, self.witnesses, self.groups, self.quorum = [], {}, {}, None
        free = set()  # names that are not a member of a group yet; a name can be a member of one group only
        for line in text.split("\n"):
            words = re.findall(r"[^ \t]+", line)
            match words:
                case []:
                    pass
                case [word, *_] if word.startswith("#"):
                    pass
                case ["log", vkey] | ["log", vkey, _]:
                    self.logs.append(key_of(vkey, SIGNED))
                case ["witness", name, vkey] | ["witness", name, vkey, _] if not self.knows(name):
                    self.witnesses[name] = key_of(vkey, COSIGNED)
                    free.add(name)
                case ["group", name, least, *members] if not self.knows(name) and free.issuperset(members):
                    least = {"any": "1", "all": str(len(members))}.get(least, least)
                    if len(set(members)) != len(members) or least not in map(str, range(1, len(members) + 1)):
                        raise Refused(f"policy: {line}")
                    self.groups[name] = int(least), members
                    free = free - set(members) | {name}
                case ["quorum", name] if self.quorum is None and self.knows(name):
                    self.quorum = name
                case _:
                    raise Refused(f"policy: {line}")
        for keys in self.logs, self.witnesses.values():
            if len({key.public for key in keys}) != len(keys):
                raise Refused("policy: a public key occurs twice")
        if self.quorum is None:
            raise Refused("policy: no quorum")

    def knows(self, name):
        """Returns whether the name is defined."""
        return name == "none" or name in self.witnesses or name in self.groups

    def keys(self, origin):
        """Returns the known keys for the log `origin`: both types of each of its keys, and the key of each witness."""
        logs = [key for key in self.logs if key.name == origin]
        return logs + [key._replace(kind=COSIGNED) for key in logs] + list(self.witnesses.values())

    def is_met(self, cosigners):
        """Returns whether these keys reach the quorum. Keys of the log never count."""
        log_keys = {key.public for key in self.logs}

        def witnessed(name):
            if name in self.groups:
                least, members = self.groups[name]
                return sum(map(witnessed, members)) >= least
            return self.witnesses[name] in cosigners and self.witnesses[name].public not in log_keys

        return self.quorum == "none" or witnessed(self.quorum)
