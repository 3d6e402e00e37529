import copy
import errno
import math
import os
import pickle
import re
import stat
import types
from datetime import UTC, datetime, timedelta

import joblib
import numpy as np
import platformdirs
import pytest
from sklearn.base import BaseEstimator, clone
from store_helpers import KEY, MODEL, NEW, TABLE, files_in, is_ready, other_process, path_of, posix, some_table, used

from stackkit._store import store as _store
from stackkit._store.files import StoreProblem
from stackkit._store.store import Store, open_store, store_clear, store_info


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Where the user's data are: never the real place."""
    home = tmp_path / "home" / "data"
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name, **_: home / name)
    return home


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "folder"


@pytest.fixture
def store_files(folder):
    return open_store(Store(folder, key=KEY))


# --- the key ----------------------------------------------------------------------------------------


def test_key_is_made_once(folder, tmp_path, home):
    some_table(open_store(folder))
    made = (home / "stackkit" / "store.key").read_bytes()
    assert re.fullmatch(rb"[0-9a-f]{64}", made)
    assert open_store(str(folder)).read_arrays(TABLE) is not None
    assert open_store(tmp_path / "other").key == bytes.fromhex(made.decode())
    assert files_in(home) == ["stackkit/store.key"]
    assert open_store(Store(folder, key_file=tmp_path / "own" / "key")).key != bytes.fromhex(made.decode())


def test_key_is_not_made_where_it_is_not_needed(folder, home):
    open_store(Store(folder, key=KEY))
    store_info(folder)
    store_clear(folder)
    assert open_store(None) is None
    assert not home.exists()


def test_key_as_text_is_its_utf8(folder):
    assert open_store(Store(folder, key="ä" * 8)).key == "ä".encode() * 8
    assert open_store(Store(folder, key=b"k" * 16)).key == b"k" * 16


@pytest.mark.slow
@posix
def test_many_processes_make_one_key(folder, home):
    code = """
for _ in range(15):  # sixteen of them, which load everything once
    if os.fork() == 0:
        break
os.write(1, b"ready\\n")  # whole lines, whoever writes at the same time
os.read(0, 1)
os.write(1, f"{store.open_store(sys.argv[1] + str(os.getpid())).key.hex()}\\n".encode())
"""
    code = f"import platformdirs\nplatformdirs.user_data_path = lambda *_, **__: pathlib.Path({str(home)!r})\n" + code
    with other_process(code, folder) as process:
        assert all(is_ready(process) for _ in range(16))
        process.stdin.write("\n" * 16)
        process.stdin.flush()
        keys = {process.stdout.readline().strip() for _ in range(16)}
    assert keys == {(home / "store.key").read_text()}
    assert files_in(home) == ["store.key"]


def test_late_key_gives_way_to_the_first(folder, tmp_path, monkeypatch):
    """Another process makes it just between our look and our link."""
    path, link = tmp_path / "key", os.link

    def slow(*args, **kwargs):
        path.write_text("5" * 64)
        path.chmod(0o600)
        link(*args, **kwargs)

    monkeypatch.setattr(os, "link", slow)
    assert open_store(Store(folder, key_file=path)).key == b"\x55" * 32
    assert path.read_text() == "5" * 64
    assert [item.name for item in tmp_path.glob("key*")] == ["key"]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_key_open_to_others_is_refused(folder, tmp_path, mode):
    path = tmp_path / "a key"
    open_store(Store(folder, key_file=path))
    path.chmod(mode)
    with pytest.raises(StoreProblem, match=r"open to other users; run chmod 600 '.*/a key'\."):
        open_store(Store(folder, key_file=path))
    path.chmod(0o400)
    open_store(Store(folder, key_file=path))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"0" * 63, b"0" * 65, b"g" * 64, b"\0" * 64, b"\xff" * 64, b"0" * 32 + b" " + b"0" * 31],
    ids=range(8),
)
def test_damaged_key_is_refused_and_left_alone(folder, tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StoreProblem, match=r"key is damaged; put back a copy of it, or delete it"):
        open_store(Store(folder, key_file=path))
    assert path.read_bytes() == content


def test_key_may_end_in_a_line_break(folder, tmp_path):
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    (tmp_path / "key").chmod(0o600)
    assert open_store(Store(folder, key_file=tmp_path / "key")).key == b"\xab" * 32


def test_key_that_cannot_be_made_is_a_problem(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "not-there")
    for path in (tmp_path / "file" / "key", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreProblem, match=rf"key {re.escape(str(path))} could not be read or made"):
            open_store(Store(folder, key_file=path))

    def fails(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(StoreProblem, match=r"could not be read or made \(no links here\)"):
        open_store(Store(folder, key_file=tmp_path / "new"))
    assert not list(tmp_path.glob("new*"))


def test_key_is_never_in_the_folder(folder, tmp_path, home):
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    match = "The 'key_file' parameter of a Store must be outside of its folder"
    for store in (
        Store(folder, key_file=folder / "key"),
        Store(folder, key_file=folder / "stackkit-1" / "key"),
        Store(folder, key_file=tmp_path / "link" / "key"),
        Store(tmp_path / "link", key_file=folder / "key"),
        Store(folder, key_file=folder / ".." / "folder" / "key"),
        Store(home.parent),
        Store(home / "stackkit"),
    ):
        with pytest.raises(ValueError, match=match):
            open_store(store)
    assert files_in(tmp_path) == ["link"]
    open_store(Store(folder, key_file=tmp_path / "folder.key"))
    open_store(Store(home.parent, key=KEY))


@posix
@pytest.mark.parametrize("umask", [0, 0o022])
def test_others_may_not_look(tmp_path, home, umask):
    folder = tmp_path / "deep" / "folder"
    before = os.umask(umask)
    try:
        store_files = open_store(folder)
        some_table(store_files)
        claim = store_files.claim("ab12")
        (folder / "stackkit-1" / "tmp" / "1-0123456789abcdef").touch(0o600)
        paths = [tmp_path / "deep", folder, *folder.rglob("*"), tmp_path / "home", home, *home.rglob("*")]
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
        claim.release()
    finally:
        os.umask(before)
    assert len(modes) == 13
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()), modes


# --- what users see ---------------------------------------------------------------------------------


def test_info_of_no_folder_makes_none(folder):
    info = store_info(folder)
    assert (info.n_entries, info.n_tables, info.n_models, info.size) == (0, 0, 0, 0)
    assert (info.size_limit, info.oldest, info.newest) == (None, None, None)
    assert info.folder == folder
    assert repr(info) == f"Store in {folder}: 0 entries (0 tables, 0 models), 0 bytes"
    assert not folder.exists()


def test_info_counts(store_files, folder):
    for name in (TABLE, MODEL, NEW, "ab12-1.table", "abff-0.table"):
        store_files.write(name, bytes(1000))
    used(folder, MODEL, 3600)
    (folder / "mine.table").write_bytes(bytes(500))
    path_of(folder, "ab12.table").with_suffix("").mkdir()
    path_of(folder, "cd.table").parent.mkdir()
    path_of(folder, "cd.table").with_name("ab12-9.table").touch()  # where the store puts no such name
    store_files.claim("ab12")
    info = Store(folder, size_limit="2 MB").info()
    assert (info.n_entries, info.n_tables, info.n_models, info.size) == (2, 4, 1, 5 * 1040)
    assert info.size_limit == 2_000_000
    now = datetime.now(UTC)
    assert timedelta(minutes=59) < now - info.oldest < timedelta(minutes=61)
    assert abs(now - info.newest) < timedelta(minutes=1)
    match = rf"{folder}: 2 entries \(4 tables, 1 models\), 5\.2 kB of at most 2\.0 MB, used from \d{{4}}-.* to \d{{4}}-"
    assert re.search(match, str(info))
    assert store_info(Store(folder)) == store_info(str(folder))


@pytest.mark.parametrize(
    ("size", "words"), [(999, "999 bytes"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3 * 10**13, "30000.0 GB")]
)
def test_sizes_in_words(size, words):
    assert _store._in_words(size) == words


def test_clear_leaves_what_is_not_the_stores(store_files, folder, tmp_path):
    for name in (TABLE, MODEL, NEW, "cd34-0.model"):
        store_files.write(name, b"content")
    root = folder / "stackkit-1"
    (root / "tmp" / "7-0123456789abcdef").touch()
    (root / "locks").mkdir()
    (root / "locks" / "ab99.lock").touch()
    mine = ["notes.txt", "stackkit-2/ab/ab12-0.table", "ab/ab12-0.table", "stackkit-1/ab/notes.txt",
            "stackkit-1/notes.table", "stackkit-1/ab/cd-0.table", "stackkit-1/tmp/notes",
            "stackkit-1/abc/abc-0.table"]  # fmt: skip
    for name in mine:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "ee-0.table").write_text("mine")
    (root / "ee").symlink_to(elsewhere)
    (root / "ab" / "ab77-0.table").symlink_to(elsewhere / "ee-0.table")
    store_clear(folder)
    assert files_in(folder) == sorted([*mine, "stackkit-1/ab/ab77-0.table", "stackkit-1/ee"])
    assert files_in(elsewhere) == ["ee-0.table"]
    assert not (root / "cd").exists()
    assert not (root / "locks").exists()


def test_clear_leaves_no_trace_and_may_be_repeated(store_files, folder):
    some_table(store_files)
    store_files.claim("ab12").release()
    store_files.prune()
    for _ in range(2):
        Store(folder).clear()
        assert list(folder.iterdir()) == []
    folder.rmdir()
    store_clear(folder)
    assert not folder.exists()
    some_table(store_files)
    assert store_files.read_arrays(TABLE) is not None


def test_clear_leaves_the_locks_of_the_living(store_files, folder):
    with store_files.claim("ab12"):
        store_clear(folder)
        assert store_files.claim("ab12") is None
    assert files_in(folder) == []


class Holder(BaseEstimator):
    def __init__(self, memory=None):
        self.memory = memory


def test_store_is_a_good_parameter():
    store = Store("somewhere", store_models=False, size_limit="1 GB", key=KEY)
    assert copy.deepcopy(store) == pickle.loads(pickle.dumps(store)) == clone(Holder(store)).memory == store
    assert store != Store("somewhere", store_models=False, size_limit="1 GB", key=KEY + "!")
    with pytest.raises(AttributeError):
        store.folder = "elsewhere"
    with pytest.raises(TypeError):
        Store("somewhere", False)
    Store(3, size_limit="much", key=7, store_models="no")  # looked at when it is used


def test_key_is_not_shown(store_files, folder):
    store = Store(folder, key=KEY, size_limit=10)
    for shown in (store, store_files, Holder(store), store.info()):
        assert KEY not in repr(shown) + str(shown)
    with pytest.raises(ValueError, match="got 5") as caught:
        open_store(Store(folder, key="hush!"))
    assert "hush" not in str(caught.value)
    with pytest.raises(TypeError, match="got a list") as caught:
        open_store(Store(folder, key=["hush!" * 9]))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [(1, 1), (np.int64(7), 7), ("500", 500), ("500 B", 500), ("500 MB", 5 * 10**8), ("2GB", 2 * 10**9),
     (" 1 tb ", 10**12),
     ("1.5 GiB", 3 * 2**29), ("1 KiB", 1024), ("0.1 MB", 100_000), ("1 kB", 1000), ("9" * 400 + " TB", None)],
)  # fmt: skip
def test_size_limits(folder, text, size):
    got = open_store(Store(folder, key=KEY, size_limit=text)).size_limit
    assert got == size if size else got > 10**400


@pytest.mark.parametrize(
    "limit",
    [0, -1, True, 1.5, 1e9, math.nan, "", "much", "MB", "5 XB", "5 iB", "-5 MB", "0 MB", "0.1", "5,5 MB", "1e9", "5 M",
     b"5", "\N{ARABIC-INDIC DIGIT FIVE}"],
)  # fmt: skip
def test_bad_size_limits(folder, limit):
    match = (
        r"The 'size_limit' parameter of a Store must be a positive number of bytes, text such as '500 MB' or '2 GiB', "
        rf"or None; got {re.escape(repr(limit))}\."
    )
    for use in (open_store, store_info, store_clear):
        with pytest.raises(ValueError, match=match):
            use(Store(folder, size_limit=limit))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"store_models": 1}, TypeError, "The 'store_models' parameter of a Store must be True or False; got 1"),
        ({"key": "15 characters.."}, ValueError, "The 'key' parameter of a Store must have at least 16 bytes; got 15"),
        ({"key": b""}, ValueError, "must have at least 16 bytes; got 0"),
        ({"key": 3}, TypeError, "The 'key' parameter of a Store must be bytes or text; got a int"),
        (
            {"key": KEY, "key_file": "x"},
            ValueError,
            "'key_file' parameter of a Store must be None where a key is given",
        ),
        ({"key_file": 3}, TypeError, "The 'key_file' parameter of a Store must be a path, as text or path-like; got 3"),
        ({"key_file": ""}, ValueError, "The 'key_file' parameter of a Store must be a path.*; got ''"),
    ],
)
def test_bad_settings(folder, settings, error, match):
    for use in (open_store, store_info, store_clear):
        with pytest.raises(error, match=match):
            use(Store(folder, **settings))
    assert not folder.exists()


def test_bad_memory(folder):
    for memory in (3, ["a"], b"folder", True):
        match = r"The 'memory' parameter must be a folder, a Store or None; got .*\. Pass the folder's path"
        with pytest.raises(TypeError, match=match):
            open_store(memory)
    with pytest.raises(TypeError, match=rf"got Memory\(.*memory='{folder}'"):
        open_store(joblib.Memory(folder, verbose=0))
    with pytest.raises(TypeError, match="Pass the folder's path: memory='a/folder'"):
        open_store(joblib.Memory(None))
    for place in (3, None, types.SimpleNamespace()):
        for use in (open_store, store_info, store_clear):
            with pytest.raises(TypeError, match="The 'folder' parameter of a Store must be a path"):
                use(Store(place))
    with pytest.raises(ValueError, match="The 'folder' parameter of a Store must be a path"):
        open_store("")


def test_folder_that_is_a_file(folder):
    folder.write_text("mine")
    for use in (open_store, store_info, store_clear):
        with pytest.raises(ValueError, match=rf"must be a folder; got the file {folder}\. Choose another name"):
            use(folder)
    assert folder.read_text() == "mine"


def test_folder_that_cannot_be_made_opens_all_the_same(folder):
    folder.write_text("mine")
    store_files = open_store(Store(folder / "below", key=KEY))
    with pytest.raises(StoreProblem, match=r"could not be written \(Not a directory\)"):
        store_files.write(MODEL, b"content")
    with pytest.raises(StoreProblem, match=r"could not be read \(Not a directory\)"):
        store_files.read(MODEL)
    assert not store_files.has(MODEL)
    with store_files.claim("ab12") as claim:
        assert claim is not None
    store_files.prune()
    assert store_info(folder / "below").n_entries == 0


def test_folder_is_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert open_store("store").folder == tmp_path / "store"
    assert open_store(Store("~/store", key=KEY)).folder == tmp_path / "me" / "store"
    assert open_store(Store("store", key_file="~/key")).key
    assert (tmp_path / "me" / "key").exists()


def test_settings_reach_the_shelf(folder):
    store_files = open_store(Store(folder, store_models=False, size_limit="1 kB", key=KEY))
    assert (store_files.store_models, store_files.size_limit, store_files.folder) == (False, 1000, folder)
    assert open_store(Store(folder, key=KEY)).store_models
    assert pickle.loads(pickle.dumps(store_files)) == store_files
