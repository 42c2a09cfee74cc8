"""Reads the input of the verifier, which is the files and events of a bundle, and the pinned origin, keyring and policy."""

import os
import re
import stat
import tarfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import ed25519
import merkle
import note
import seal
import strict_json

MODES = {"plain": 1, "encrypted": 2, "hash-only": 3}
HASHES = {"payload_hash", "metadata_hash", "prev", "event_hash"}
TEXTS = HASHES | {
    "tenant", "plan", "event_id", "type", "occurred", "recorded", "source", "actor", "correlation_id", "causation_id",
    "payload_mode", "kid", "mac", "sig", "metadata",
}
NUMBERS = {"seq", "data_version", "payload_size"}
OPTIONAL = {"payload": str, "log_index": int, "proof": str, "v1": dict}  # may be null or absent
V1 = {"payload_hash", "prev_hash", "signature"}
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
HEX = re.compile(r"([0-9a-f]{2})*")


class Unreadable(Exception):
    """The error of an input that cannot be read (exit code 1). The message says what it is."""


def read_json(data):
    """Parses strict JSON, but accepts numbers of any range. Numbers that are digits only become int."""
    number = lambda spelling, digits_only: int(spelling) if digits_only and len(spelling) < 20 else float(spelling)
    return strict_json.Reader(data.decode(), number).whole()


def regular(path):
    """Opens a regular file, without following a link and without waiting for the other end of a pipe."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Unreadable(f"{path} is not a regular file")
    return os.fdopen(number, "rb")


def unlisted(error):
    """Refuses a folder that cannot be listed. Its files would count as missing."""
    raise Unreadable(f"{error.filename} cannot be read: {error.strerror}")


def files_of(path):
    """Returns the files of a folder or tar by name, each as a function that opens the file. A folder has regular files and
    folders only: a link could lead out of it or back into it."""
    path = Path(path)
    if path.is_dir():
        files = {}
        for folder, folders, names in os.walk(path, onerror=unlisted):
            for entry in (Path(folder, name) for name in folders + names):
                if not stat.S_ISDIR(mode := entry.lstat().st_mode):
                    if not stat.S_ISREG(mode):
                        raise Unreadable(f"{entry} is not a regular file")
                    files[entry.relative_to(path).as_posix()] = partial(regular, entry)
        return files
    if not path.is_file():
        raise Unreadable(f"{path} is not a folder or a regular file")
    tar = tarfile.open(path)
    members = [member for member in tar if member.isfile()]
    files = {member.name.removeprefix("./"): partial(tar.extractfile, member) for member in members}
    if len(files) != len(members):
        raise Unreadable("a file occurs twice in the tar")
    return files


def read(files, path):
    """Returns the bytes of a file, or no bytes if the file is missing."""
    if path not in files:
        return b""
    with files[path]() as file:
        return file.read()


def tile(files, level, n, width):
    """Returns the bytes of a tile, cut from a wider tile if only that is present. No bytes if the file has the wrong length.

    tlog-tiles allows partial tiles to be deleted once a wider one exists.
    """
    for present in range(width, merkle.TILE_WIDTH + 1):
        if data := read(files, merkle.tile_path(level, n, present)):
            return data[: 32 * width] if len(data) == 32 * present else b""
    return b""


class Event:
    """A record. `header` is its header, or None if a field is malformed or outside its limits (FORMAT)."""

    def __init__(self, record, origin):
        self.record, self.header, self.suite = record, None, 0
        self.place = self.tenant, self.plan, self.seq = record["tenant"], record["plan"], record["seq"]
        if is_well_formed(record):
            header = {name: record[name] for name in (TEXTS | NUMBERS) - {"event_hash", "mac", "sig", "metadata"}}
            header |= {"origin": origin, "event_id": record["event_id"].replace("-", "")}
            header |= {"payload_mode": MODES[record["payload_mode"]]}
            try:
                header |= {f"{name}_us": seal.microseconds(record[name]) for name in ("occurred", "recorded")}
                seal.check_header(header)
                self.header, self.suite = header, seal.suite_of(record["kid"])
            except seal.Refused:
                pass
        index, v1 = record.get("log_index"), record.get("v1")
        self.index = index if type(index) is int and 0 <= index < 2**53 else None
        self.v1 = v1 if isinstance(v1, dict) else None

    @property
    def recorded(self):
        """Microseconds since 1970."""
        return self.header["recorded_us"]

    def carries_v1(self):
        """Returns whether the sealed metadata says that the event carries scheme v1."""
        try:
            metadata = read_json(self.record["metadata"].encode())
        except strict_json.Refused:
            return False
        own = metadata.get("sealbus") if isinstance(metadata, dict) else None
        return isinstance(own, dict) and own.get("v1") is True

    def data(self):
        """Returns the members of the payload, or no members if it is not a JSON object."""
        try:
            value = read_json((self.record.get("payload") or "").encode())
        except strict_json.Refused:
            return {}
        return value if isinstance(value, dict) else {}


def is_well_formed(record):
    """Returns whether the members of a record have the required form. The limits of the header are checked elsewhere."""
    absent = {name for name in OPTIONAL if record.get(name) is None}
    types = dict.fromkeys(TEXTS, str) | dict.fromkeys(NUMBERS, int) | OPTIONAL
    if not all(name in absent or type(record.get(name)) is kind for name, kind in types.items()):
        return False
    v1 = record.get("v1") or {}
    return (
        record.keys() <= types.keys()
        and all(HEX.fullmatch(record[name]) for name in HASHES | {"mac", "sig"})
        and all(len(record[name]) == 64 for name in HASHES)
        and all(TIME.fullmatch(record[name]) for name in ("occurred", "recorded"))
        and ID.fullmatch(record["event_id"]) is not None
        and record["payload_mode"] in MODES
        and 0 <= record["payload_size"] < 2**32
        and ("log_index" in absent or 0 <= record["log_index"] < 2**53)
        and ("v1" in absent or "|" not in record["plan"] + record["type"])
        and v1.keys() <= V1 and all(isinstance(value, str | None) for value in v1.values())
    )


def event_of(data, origin):
    """Parses a line of events.jsonl, or a receipt."""
    try:
        record = read_json(data)
    except (strict_json.Refused, UnicodeDecodeError) as refused:
        raise Unreadable(f"not strict JSON: {refused}") from None
    kinds = {"tenant": str, "plan": str, "seq": int}
    if not isinstance(record, dict) or any(type(record.get(name)) is not kind for name, kind in kinds.items()) or record["seq"] < 0:
        raise Unreadable("not a record of a tenant, plan and seq")
    return Event(record, origin)


def events(files, origin):
    """Yields the events of events.jsonl, which must be ordered by tenant, plan and seq."""
    if "events.jsonl" not in files:
        raise Unreadable("no events.jsonl: not a bundle")
    previous = None
    with files["events.jsonl"]() as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = event_of(line, origin)
                if previous and event.place < previous.place:
                    raise Unreadable("not in the order of tenant, plan and seq")
            except Unreadable as refused:
                raise Unreadable(f"events.jsonl, line {number}: {refused}") from None
            yield event
            previous = event


class Key(NamedTuple):
    """A pinned key. It counts for the log indexes from `start` to below `end`."""

    public: bytes
    secret: bytes
    start: int
    end: float


def pins_of(path):
    """Returns the files of a folder with pins. Its owner is trusted, so that they may be links."""
    return {file.name: partial(file.open, "rb") for file in Path(path).iterdir() if file.is_file()}


class Trust:
    """The pinned origin, policy and keyring. Nothing else makes a key trusted."""

    def __init__(self, files):
        try:
            self.origin = read(files, "origin").decode().removesuffix("\n")
            self.policy = note.Policy(read(files, "policy").decode())
            self.keys, self.v1 = {}, []
            for key in read_json(read(files, "keyring.json"))["keys"]:
                self.pin(**key)
        except (note.Refused, strict_json.Refused, ValueError, LookupError, TypeError) as refused:
            raise Unreadable(f"malformed trust folder: {refused}") from None

    def pin(self, id, secret=None, public=None, **limits):
        suite, start, until = seal.suite_of(id), limits.get("from"), limits.get("until")
        secret, public = note.bytes_of(secret or ""), note.bytes_of(public or "")
        if id.startswith("v1-") and secret:
            self.v1.append(secret)
        elif suite:
            public = public or secret and ed25519.public_of(secret)
            if id in self.keys or suite == 2 and seal.key_id(public) != id:
                raise ValueError(f"key {id} occurs twice, or is not the id of its public key")
            if {type(start), type(until)} - {int, type(None)}:
                raise ValueError(f"from or until of key {id} is not a log index")
            self.keys[id] = Key(public, secret, start or 0, float("inf") if until is None else until)

    def lacks_secret_for(self, event):
        """Returns whether the MAC or the v1 signature of an event cannot be checked, because the secret is missing."""
        key = self.keys.get(event.record["kid"]) if event.suite == 1 else None
        return key is not None and not key.secret or event.v1 is not None and not self.v1
