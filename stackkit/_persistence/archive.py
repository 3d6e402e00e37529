"""One sealed file of named members: whatever is wrong with it is an error before any of it is used.

A file is a zip archive: ``manifest.json``, which has the format's number and each member's size and SHA-256, then
the members. The archive's comment, the last bytes of the file, is the seal: the SHA-256 of all that stands before it.
The seal tells a whole file from a damaged one. It does not tell who wrote it, for anybody can make one anew: so a
reader takes every number and name for an attacker's, and what is done with the members must be safe for any content.

To change the format: raise ``FORMAT`` when a file written by the new code cannot be read by the old, or means
something else there, be it here or in what the members hold. Let ``read_archive`` accept the old number too, as long
as the change takes no more than a few lines where it is read; keep a file of the old format among the tests. A fact
more in the manifest, and a kind more of parts, leave the number as it is: old code refuses what it does not know.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from stackkit._utils import written_whole
from stackkit.exceptions import ModelFileError

FORMAT = 1
MANIFEST = "manifest.json"

# No name leads anywhere else, and none is special on any system.
_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*\.[a-z]+")
_SEAL = re.compile(rb"stackkit-sha256:([0-9a-f]{64})")
_SEAL_SIZE = len(b"stackkit-sha256:") + 64
# A file may become so many times its size in memory: one that packs better than that is not packed.
GROWTH = 50
_LONGEST_MANIFEST = 1 << 24  # bytes
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Archive:
    """What a file holds: facts about it, and its members."""

    facts: dict[str, Any]
    members: dict[str, bytes]


def write_archive(path: Path, facts: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    """Write a file, whole or not at all; ``facts`` are what JSON can say."""
    listed = {name: {"size": len(data), "sha256": _digest(data)} for name, data in members.items()}
    manifest = json.dumps({"format": FORMAT, **facts, "members": listed}, indent=1).encode("ascii")
    if len(manifest) > _LONGEST_MANIFEST:
        raise ValueError(f"The facts about a model must not exceed {_LONGEST_MANIFEST} bytes; got {len(manifest)}.")
    every = {MANIFEST: manifest, **members}
    content = _zipped(every, ZIP_DEFLATED)
    if sum(map(len, every.values())) > GROWTH * (len(content) - _SEAL_SIZE):
        content = _zipped(every, ZIP_STORED)
    body = content[:-_SEAL_SIZE]
    content[-_SEAL_SIZE:] = b"stackkit-sha256:" + _digest(body).encode("ascii")
    with written_whole() as draft_for:
        draft_for(path).write_bytes(content)


def read_archive(path: Path) -> Archive:
    """All of a file, verified; ModelFileError says what is wrong with it."""
    content = path.read_bytes()  # once: a file that changes meanwhile is no other file
    body = _unsealed(path, content)
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            entries = _checked(path, archive.infolist(), len(body))
            manifest = _manifest(path, archive, entries)
            listed = _listed(path, manifest, entries)
            members = {name: archive.read(entries[name]) for name in listed}
    except ModelFileError:
        raise
    except Exception as error:  # zipfile has many kinds for what is no archive
        raise ModelFileError(path, f"is damaged: it is no zip archive that can be read ({error})") from error
    for name, data in members.items():
        if listed[name] != {"size": len(data), "sha256": _digest(data)}:
            raise ModelFileError(path, f"is damaged: its member {name!r} is not the one that the manifest describes")
    return Archive(manifest, members)


def _digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def _entry(name: str) -> ZipInfo:
    if not _NAME.fullmatch(name):
        raise ValueError(f"A member's name must be lower-case words with slashes and a suffix; got {name!r}.")
    entry = ZipInfo(name, _EPOCH)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _zipped(members: Mapping[str, bytes], how: int) -> memoryview:
    """An archive with room for the seal. Packed fast: most of it are numbers, which hardly shrink."""
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(_entry(name), data, how, 1)
        archive.comment = b"." * _SEAL_SIZE
    return file.getbuffer()


# --- reading ----------------------------------------------------------------------------------------


def _unsealed(path: Path, content: bytes) -> memoryview:
    """What stands before the seal, if it is whole."""
    if not content.startswith(b"PK\x03\x04"):
        raise ModelFileError(path, "is no model file of stackkit, or its beginning is damaged")
    seal = _SEAL.fullmatch(content[-_SEAL_SIZE:])
    if seal is None:
        raise ModelFileError(path, "is cut short, damaged at its end, or no model file of stackkit")
    body = memoryview(content)[:-_SEAL_SIZE]
    if _digest(body).encode("ascii") != seal[1]:
        raise ModelFileError(path, "is damaged: its content is not what was written")
    return body


def _checked(path: Path, entries: list[ZipInfo], size: int) -> dict[str, ZipInfo]:
    """The entries by name, none of which is anything but a file of modest size; nothing is unpacked yet."""
    for entry in entries:
        name = entry.orig_filename  # what the file says, not what zipfile makes of it
        if name != entry.filename or not _NAME.fullmatch(name):
            raise ModelFileError(path, f"has a member with the forbidden name {name!r}")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ModelFileError(path, f"has a member that is no regular file: {name!r}")
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or entry.flag_bits & 1:
            raise ModelFileError(path, f"has a member that is packed in a way that stackkit does not use: {name!r}")
    by_name = {entry.filename: entry for entry in entries}
    if len(by_name) < len(entries):
        raise ModelFileError(path, "has two members of one name")
    packed, whole = (sum(getattr(entry, what) for entry in entries) for what in ("compress_size", "file_size"))
    if packed > size or whole > GROWTH * size:
        raise ModelFileError(path, f"would become {whole} bytes in memory, more than {GROWTH} times its size")
    return by_name


def _manifest(path: Path, archive: ZipFile, entries: Mapping[str, ZipInfo]) -> dict[str, Any]:
    if MANIFEST not in entries or entries[MANIFEST].file_size > _LONGEST_MANIFEST:
        raise ModelFileError(path, f"has no {MANIFEST}, or one of more than {_LONGEST_MANIFEST} bytes")
    try:
        manifest = json.loads(archive.read(entries[MANIFEST]))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(path, f"has a {MANIFEST} that cannot be read") from error
    number = manifest.get("format") if isinstance(manifest, dict) else None
    if number != FORMAT or isinstance(number, bool):
        raise ModelFileError(
            path, f"has the format {number!r}, and this version of stackkit reads {FORMAT}: use the one that wrote it"
        )
    return dict(manifest)


def _listed(path: Path, manifest: dict[str, Any], entries: Mapping[str, ZipInfo]) -> dict[str, Any]:
    listed = manifest.pop("members", None)
    if not isinstance(listed, dict) or set(listed) != set(entries) - {MANIFEST}:
        raise ModelFileError(path, "has other members than its manifest lists")
    return listed
