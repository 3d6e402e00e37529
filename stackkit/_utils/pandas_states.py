"""pandas' tables as plain arrays and lists, and back: values, types, names and row labels as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

State = dict[str, Any]


def encode_index(index: pd.Index) -> State:
    if isinstance(index, pd.MultiIndex):
        levels = [encode_index(level) for level in index.levels]
        return {"levels": levels, "codes": [np.asarray(codes) for codes in index.codes], "names": list(index.names)}
    if isinstance(index, pd.RangeIndex):
        return {"range": [index.start, index.stop, index.step], "name": index.name}
    return {"values": _encode_values(index), "name": index.name, "freq": getattr(index, "freqstr", None)}


def decode_index(state: State) -> pd.Index:
    if "levels" in state:
        levels: Any = [decode_index(level) for level in state["levels"]]
        return pd.MultiIndex(levels=levels, codes=state["codes"], names=state["names"])
    if "range" in state:
        start, stop, step = state["range"]
        return pd.RangeIndex(start, stop, step, name=state["name"])
    index: Any = _decode_values(state["values"]).rename(state["name"])
    if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) and state["freq"] is not None:
        return type(index)(index, freq=state["freq"])
    return index


def encode_series(series: pd.Series) -> State:
    return {"values": _encode_values(pd.Index(series)), "index": encode_index(series.index), "name": series.name}


def decode_series(state: State) -> pd.Series:
    values = _decode_values(state["values"]).rename(None)
    return pd.Series(values, index=decode_index(state["index"]), name=state["name"])


def encode_frame(frame: pd.DataFrame) -> State:
    columns = [_encode_values(pd.Index(frame.iloc[:, i])) for i in range(frame.shape[1])]
    return {"columns": encode_index(frame.columns), "index": encode_index(frame.index), "values": columns}


def decode_frame(state: State) -> pd.DataFrame:
    values = {i: _decode_values(column) for i, column in enumerate(state["values"])}
    frame = pd.DataFrame(values, index=range(len(decode_index(state["index"]))))
    frame.index, frame.columns = decode_index(state["index"]), decode_index(state["columns"])
    return frame


def _encode_values(values: Any) -> Any:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = pd.Categorical(values).codes
        return {
            "categories": encode_index(dtype.categories),
            "codes": np.asarray(codes),
            "ordered": bool(dtype.ordered),
        }
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {"utc": values.tz_convert("UTC").tz_localize(None).to_numpy(), "zone": str(dtype.tz)}
    if isinstance(dtype, pd.PeriodDtype):
        return {"ordinals": values.asi8, "freq": values.freqstr}
    if isinstance(dtype, pd.IntervalDtype):
        return {"left": encode_index(values.left), "right": encode_index(values.right), "closed": dtype.closed}
    if isinstance(dtype, np.dtype):
        return values.to_numpy()
    return {"objects": values.to_numpy(dtype=object, na_value=None), "dtype": str(dtype)}


def _decode_values(state: Any) -> Any:
    if isinstance(state, np.ndarray):
        return pd.Index(state, dtype=state.dtype)
    if "codes" in state:
        categories = decode_index(state["categories"])
        return pd.CategoricalIndex(pd.Categorical.from_codes(state["codes"], categories, ordered=state["ordered"]))
    if "utc" in state:
        return pd.DatetimeIndex(state["utc"]).tz_localize("UTC").tz_convert(state["zone"])
    if "ordinals" in state:
        periods: Any = pd.PeriodIndex
        return periods.from_ordinals(state["ordinals"], freq=state["freq"])
    if "left" in state:
        return pd.IntervalIndex.from_arrays(decode_index(state["left"]), decode_index(state["right"]), state["closed"])
    return pd.Index(pd.array(state["objects"], dtype=state["dtype"]))
