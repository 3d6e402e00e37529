"""Models in files without pickle.

In: a fitted model. Out: one sealed file, and the model again; or an ONNX graph, for prediction without Python.
"""

from stackkit._persistence.archive import Archive, read_archive
from stackkit._persistence.onnx_export import to_onnx
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
    "to_onnx",
    "write_model",
]
