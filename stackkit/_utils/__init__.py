"""Small tools that know nothing of stacking: files that appear whole, versions, native threads, summaries."""

from stackkit._utils.autologging import AUTOLOGGING, unlogged
from stackkit._utils.files import draft_of, written_whole
from stackkit._utils.foreign import is_of, parts_of, under
from stackkit._utils.library_versions import LIBRARIES, versions
from stackkit._utils.numbers import EPSILON, HALF_TOLERANCE, SUM_TOLERANCE, as_figure
from stackkit._utils.pandas_states import (
    decode_frame,
    decode_index,
    decode_series,
    encode_frame,
    encode_index,
    encode_series,
)
from stackkit._utils.sizes import check_bytes
from stackkit._utils.summaries import Summarised, Summary
from stackkit._utils.threads import (
    keeps_to_one_thread,
    limit_threads,
    own_threads_held,
    share_of_cores,
    single_threaded_blas,
    sums_held,
    thread_limits,
    threads_per_task,
    ties_held,
)
from stackkit._utils.wording import choice, closest, did_you_mean, some, why

__all__ = [
    "AUTOLOGGING",
    "EPSILON",
    "HALF_TOLERANCE",
    "LIBRARIES",
    "SUM_TOLERANCE",
    "Summarised",
    "Summary",
    "as_figure",
    "check_bytes",
    "choice",
    "closest",
    "decode_frame",
    "decode_index",
    "decode_series",
    "did_you_mean",
    "draft_of",
    "encode_frame",
    "encode_index",
    "encode_series",
    "is_of",
    "keeps_to_one_thread",
    "limit_threads",
    "own_threads_held",
    "parts_of",
    "share_of_cores",
    "single_threaded_blas",
    "some",
    "sums_held",
    "thread_limits",
    "threads_per_task",
    "ties_held",
    "under",
    "unlogged",
    "versions",
    "why",
    "written_whole",
]
