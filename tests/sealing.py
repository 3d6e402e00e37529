"""Model files as an attacker writes them: whatever is in them, seal and digests are right."""

import hashlib
import io
import json
from contextlib import contextmanager
from zipfile import ZIP_STORED, ZipFile

_MARK = b"stackkit-sha256:"


def sealed(content, *, as_it_is=False):
    """A zip archive with the seal as its comment; ``as_it_is``: just these bytes, and a seal behind."""
    if not as_it_is:
        file = io.BytesIO(content)
        with ZipFile(file, "a") as archive:
            archive.comment = _MARK + b"0" * 64
        content = file.getvalue()[: -len(_MARK) - 64]
    return content + _MARK + hashlib.sha256(content).hexdigest().encode()


def unzipped(data):
    with ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, how=ZIP_STORED):
    file = io.BytesIO()
    with ZipFile(file, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@contextmanager
def tampered(path):
    """The file's members and manifest, to be changed; then it is sealed anew."""
    members = unzipped(path.read_bytes())
    manifest = json.loads(members.pop("manifest.json"))
    yield members, manifest
    manifest["members"] = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members.items()
    }
    path.write_bytes(sealed(zipped({"manifest.json": json.dumps(manifest), **members})))


@contextmanager
def tampered_skops(path, member="model.skops"):
    """The schema of a skops member, and its other files, to be changed."""
    with tampered(path) as (members, _):
        files = unzipped(members[member])
        schema = json.loads(files.pop("schema.json"))
        yield schema, files
        members[member] = zipped(files | {"schema.json": json.dumps(schema)})


def nodes(schema):
    """All of a schema's nodes."""
    if isinstance(schema, dict):
        if "__loader__" in schema:
            yield schema
        for item in schema.values():
            yield from nodes(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from nodes(item)


class Payload:
    """Pickled, it runs the planted code."""

    def __reduce__(self):
        return __import__, ("planted_evil",)
