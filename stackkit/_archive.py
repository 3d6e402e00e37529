"""A sealed file of named members: no byte of it is free, and its size is known before anything is unpacked.

A line ``stackkit saved model, format 1``; a line with the SHA-256 of all that follows, in hexadecimal; a ZIP. Its first
member, ``manifest.json``, has the format number and the size and SHA-256 of each of the others. The seal tells of
damage, not of who wrote the file: whoever changes it can seal it anew. So what comes out of here is whole, and that is
all that is known about it.

To change the format: raise FORMAT; keep reading what the numbers before it meant, and keep a file of each in the
tests. A reader refuses numbers that it does not know. A new kind of part is a change of format.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

FORMAT = 1
_TITLE = b"stackkit saved model, format "
_HEAD = re.compile(re.escape(_TITLE) + rb"(0|[1-9][0-9]{0,8})\n(?:([0-9a-f]{64})\n)?")
_MANIFEST = "manifest.json"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\.(json|npz|skops|ubj)")

MAX_MEMBERS = 20_000
MAX_MANIFEST = 64 << 20  # bytes
MAX_TOTAL = 16 << 30  # bytes, of the file and of what comes out of it
# What packs better than this is written unpacked, beyond a size that costs nothing: so a file that claims to hold
# more than its bytes times this was not written here.
MAX_RATIO = 50
SMALL = 1 << 20  # bytes


class SavedModelError(ValueError):
    """A file does not hold a saved model, or one that is damaged, unsafe or of a newer format."""


def bad(path: Path, why: str) -> SavedModelError:
    return SavedModelError(f"The file {str(path)!r} {why}")


# --- writing ----------------------------------------------------------------------------------------


def write_archive(path: Path, body: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    listed = {name: {"size": len(data), "sha256": _digest(data)} for name, data in members.items()}
    manifest = json.dumps({"format": FORMAT, **body, "members": listed}, allow_nan=False).encode("ascii")
    with path.open("w+b") as file:
        file.write(_head("0" * 64))
        start = file.tell()
        with ZipFile(file, "w") as packed:
            for name, data in {_MANIFEST: manifest, **members}.items():
                packed.writestr(_entry(name, data), data)
        file.seek(start)
        seal = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        file.write(_head(seal))


def _head(seal: str) -> bytes:
    return _TITLE + f"{FORMAT}\n{seal}\n".encode("ascii")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entry(name: str, data: bytes) -> ZipInfo:
    entry = ZipInfo(name)  # with zip's first date: the same model gives the same bytes
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    packs_too_well = len(data) > SMALL and len(zlib.compress(data, 6)) * MAX_RATIO < len(data)
    entry.compress_type = ZIP_STORED if packs_too_well else ZIP_DEFLATED
    return entry


# --- reading ----------------------------------------------------------------------------------------


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the members, all of them whole; or SavedModelError."""
    data = _content(path)
    head = _HEAD.match(data)
    if head is None:
        raise bad(path, "is no model saved by stackkit. Write one with stackkit.save(model, path).")
    if int(head[1]) != FORMAT:
        raise bad(
            path,
            f"has the format {int(head[1])}, and this version of stackkit reads format {FORMAT}. Load it with the "
            "version that wrote it, or a later one.",
        )
    body = memoryview(data)[head.end() :]
    if head[2] is None or hashlib.sha256(body).hexdigest().encode("ascii") != head[2]:
        raise bad(path, "is damaged, or cut short. Save the model again.")
    try:
        with ZipFile(io.BytesIO(body)) as packed:
            entries = _checked(path, packed, len(data))
            manifest = _manifest(path, _unpacked(packed, entries.pop(_MANIFEST)))
            return manifest, _members(path, packed, entries, manifest["members"])
    except (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, zlib.error) as error:
        raise bad(path, f"is not as stackkit writes it ({error}). Do not use it.") from error


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_TOTAL + 1)
    if len(data) > MAX_TOTAL:
        raise bad(path, f"is larger than {MAX_TOTAL} bytes, the most that is read.")
    return data


def _checked(path: Path, packed: ZipFile, size: int) -> dict[str, ZipInfo]:
    """Each member by its name, once, after a look at what they say of themselves."""
    entries = packed.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_MEMBERS:
        raise bad(path, f"has {len(entries)} members; {MAX_MEMBERS} are the most. Do not use it.")
    for entry in entries:
        if not _NAME.fullmatch(entry.filename) or entry.filename != entry.orig_filename:
            raise bad(path, f"has a member of the name {entry.orig_filename!r}, which stackkit gives to none.")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & 1:
            raise bad(path, f"has a member {entry.filename!r} that is a link, or encrypted. Do not use it.")
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise bad(path, f"has a member {entry.filename!r} packed in a way that stackkit does not use.")
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice or names[:1] != [_MANIFEST]:
        raise bad(path, f"has the member {min(twice)!r} twice." if twice else f"does not begin with {_MANIFEST}.")
    total = sum(entry.file_size for entry in entries)
    most = min(MAX_TOTAL, len(entries) * SMALL + MAX_RATIO * size)
    if total > most or entries[0].file_size > MAX_MANIFEST:
        raise bad(path, f"of {size} bytes claims to hold {total} bytes; {most} are the most. Do not use it.")
    return dict(zip(names, entries, strict=True))


def _unpacked(packed: ZipFile, entry: ZipInfo) -> bytes:
    with packed.open(entry) as member:
        return member.read(entry.file_size + 1)  # never more than it claims; zipfile compares the checksum


def _manifest(path: Path, data: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
        listed = manifest["members"].items()
        fits = manifest["format"] == FORMAT and all(
            type(each["size"]) is int and isinstance(each["sha256"], str) for _, each in listed
        )
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        fits = False
    if not fits:
        raise bad(path, f"has a {_MANIFEST} that stackkit did not write. Do not use it.")
    return dict(manifest)


def _members(path: Path, packed: ZipFile, entries: dict[str, ZipInfo], listed: dict[str, Any]) -> dict[str, bytes]:
    odd = sorted(set(entries) ^ set(listed))
    if odd:
        raise bad(path, f"has members that are not in its manifest, or the other way round: {odd[:5]}.")
    members = {}
    for name, entry in entries.items():
        data = _unpacked(packed, entry)
        if len(data) != listed[name]["size"] or _digest(data) != listed[name]["sha256"]:
            raise bad(path, f"has a member {name!r} that is not the one in its manifest. Save the model again.")
        members[name] = data
    return members


# --- archives inside --------------------------------------------------------------------------------


def plain_zip(data: bytes) -> ZipFile:
    """An archive that holds no more than its own bytes: nothing in it is packed, or there twice."""
    packed = ZipFile(io.BytesIO(data))
    entries = packed.infolist()
    stored = all(e.compress_type == ZIP_STORED and e.file_size == e.compress_size for e in entries)
    names = {entry.filename for entry in entries}
    if not stored or len(names) < len(entries) or sum(entry.file_size for entry in entries) > len(data):
        raise SavedModelError("an inner archive is packed, or has members that overlap")
    return packed
