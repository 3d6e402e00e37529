"""Results on disk under a seal, and the fingerprints that name them.

In: tables, models, whatever a result depends on. Out: the same bytes, or nothing.
"""

from stackkit._store.files import Claim, StoreFiles, StoreProblem
from stackkit._store.fingerprint import NotStorableError, data_fingerprint, fingerprint, learner_fingerprint
from stackkit._store.imports import users_files
from stackkit._store.origin import surroundings
from stackkit._store.store import Store, key_path, open_store, store_clear, store_info

__all__ = [
    "Claim",
    "NotStorableError",
    "Store",
    "StoreFiles",
    "StoreProblem",
    "data_fingerprint",
    "fingerprint",
    "key_path",
    "learner_fingerprint",
    "open_store",
    "store_clear",
    "store_info",
    "surroundings",
    "users_files",
]
