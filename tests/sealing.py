"""Model files as an attacker writes them: whatever is in them, the seal is right."""

import hashlib
import io
from zipfile import ZipFile

_MARK = b"stackkit-sha256:"


def sealed(content, *, as_it_is=False):
    """A zip archive with the seal as its comment; ``as_it_is``: just these bytes, and a seal behind."""
    if not as_it_is:
        file = io.BytesIO(content)
        with ZipFile(file, "a") as archive:
            archive.comment = _MARK + b"0" * 64
        content = file.getvalue()[: -len(_MARK) - 64]
    return content + _MARK + hashlib.sha256(content).hexdigest().encode()
