"""What tables and arrays hold, as bytes: values, shape, types and names, however they lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from stackkit._data import is_polars


class Hasher(Protocol):
    """Where the bytes go, and who knows of all that is no table."""

    def put(self, kind: str, data: Any = b"") -> None: ...

    def items(self, kind: str, items: Sequence[Any]) -> None: ...

    def value(self, x: Any) -> None: ...

    def reference(self, x: Any) -> None: ...

    def error(self, x: Any, why: Any) -> ValueError: ...


def hash_table(to: Hasher, x: Any) -> bool:
    """Whether it is one; then it is written."""
    if isinstance(x, np.generic) or type(x) in (np.ndarray, np.memmap):
        to.put("scalar" if isinstance(x, np.generic) else "array")
        _array(to, np.asarray(x))
    elif sparse.issparse(x):
        _sparse(to, x)
    elif isinstance(x, pd.DataFrame | pd.Series | pd.Index):
        _pandas(to, x)
    elif is_polars(x) and hasattr(x, "get_columns"):
        to.items("polars", (x.shape, x.columns, x.get_columns()))
    elif is_polars(x) and hasattr(x, "to_physical"):
        _polars_column(to, x)
    elif type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "detach"):
        _tensor(to, x)
    else:
        return False
    return True


# --- arrays -----------------------------------------------------------------------------------------


def _array(to: Hasher, x: np.ndarray) -> None:
    dtype = x.dtype if x.dtype.kind == "T" else x.dtype.newbyteorder("<")
    to.items("shape", x.shape)
    if dtype.names is not None:  # one by one: between them may lie bytes that were never set
        to.put("fields", str(len(dtype.names)))
        for name in dtype.names:
            to.put("field", name)
            _array(to, x[name])
        return
    to.put("dtype", f"{dtype.name} {dtype.str}")
    if dtype.hasobject or dtype.kind == "T":
        _objects(to, x.astype(object, copy=False).ravel().tolist())
    else:
        raw = np.ascontiguousarray(x, dtype=dtype)
        to.put("values", raw.reshape(-1).view(np.uint8) if raw.nbytes else b"")


def _objects(to: Hasher, values: list[Any]) -> None:
    """Text in one piece, which is fast, and all else one by one."""
    _array(to, np.array([len(item) if type(item) is str else -1 for item in values], dtype=np.int64))
    to.put("texts", "".join([item for item in values if type(item) is str]))
    for item in values:
        if type(item) is not str:
            to.value(item)


def _sparse(to: Hasher, x: Any) -> None:
    entries = x.tocoo(copy=True)
    entries.sum_duplicates()
    to.items("sparse", (x.format, sparse.isspmatrix(x), x.shape))
    for coordinates in entries.coords:
        _array(to, coordinates.astype(np.int64))
    _array(to, entries.data)


def _tensor(to: Hasher, x: Any) -> None:
    to.put("tensor", str(x.requires_grad))
    to.reference(type(x))
    try:
        _array(to, x.detach().cpu().numpy())
    except (TypeError, RuntimeError) as error:
        raise to.error(x, error) from error


# --- frames -----------------------------------------------------------------------------------------


def _pandas(to: Hasher, x: Any) -> None:
    to.put("pandas", str(x.ndim))
    if isinstance(x, pd.Index):
        _index(to, x)
        return
    to.reference(type(x))
    to.value(x.attrs)
    if x.ndim == 1:
        to.value(x.name)
        _column(to, x)
    else:
        to.items("names", (list(x.columns), list(x.columns.names)))
        for place in range(x.shape[1]):
            _column(to, x.iloc[:, place])
    _index(to, x.index)


def _index(to: Hasher, index: Any) -> None:
    to.items("index", index.names)
    for level in range(index.nlevels):
        _column(to, index.get_level_values(level))


def _column(to: Hasher, column: Any) -> None:
    dtype = column.dtype
    to.put("column", str(dtype))
    if isinstance(dtype, np.dtype):
        _array(to, column.to_numpy())
    elif isinstance(dtype, pd.CategoricalDtype):
        to.value(dtype.ordered)
        _index(to, dtype.categories)
        _array(to, column.array.codes)
    elif isinstance(dtype, pd.DatetimeTZDtype):
        _array(to, np.asarray(column.array.tz_convert(None)))
    elif isinstance(dtype, pd.SparseDtype):
        _array(to, np.asarray(column.array))
    elif getattr(getattr(dtype, "numpy_dtype", None), "kind", "O") in "biuf":
        _array(to, column.isna().to_numpy() if isinstance(column, pd.Series) else column.isna())
        _array(to, column.to_numpy(dtype=dtype.numpy_dtype, na_value=0))
    else:
        _objects(to, column.to_numpy(dtype=object).tolist())


def _polars_column(to: Hasher, column: Any) -> None:
    dtype, kind = column.dtype, type(column.dtype).__name__
    to.items("column", (column.name, str(dtype), len(column)))
    physical = column.to_physical()
    if kind in ("Categorical", "Enum"):  # the codes are this process's; what they say is the order of the levels
        known = column.drop_nulls().unique()
        to.items("levels", dtype.categories.to_list() if kind == "Enum" else _by_code(known))
        _objects(to, column.to_list())
    elif kind != "Decimal" and physical.dtype.is_numeric() and not str(physical.dtype).endswith("128"):
        _array(to, column.is_null().to_numpy())
        _array(to, physical.fill_null(0).to_numpy())
    else:
        _objects(to, column.to_list())


def _by_code(levels: Any) -> list[str]:
    return [level for _, level in sorted(zip(levels.to_physical().to_list(), levels.to_list(), strict=True))]
