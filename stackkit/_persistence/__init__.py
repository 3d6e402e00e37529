"""Models in one sealed file without pickle.

In: a fitted model. Out: a file, and the model again.
"""

from stackkit._persistence.archive import Archive, read_archive
from stackkit._persistence.saving import built, load, other_versions, save, write_model
from stackkit._persistence.skops_types import skops_trusted_types

__all__ = [
    "Archive",
    "built",
    "load",
    "other_versions",
    "read_archive",
    "save",
    "skops_trusted_types",
    "write_model",
]
