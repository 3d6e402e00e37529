import copy
import errno
import hmac
import io
import math
import os
import pickle
import random
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import types
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import filelock
import joblib
import numpy as np
import platformdirs
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, clone

from stackkit import _store
from stackkit._store import Shelf, Store, StoreProblem, open_shelf, store_clear, store_info

KEY = "a secret that both sides know"
TABLE, MODEL, NEW = "ab12-0.table", "ab12-0.model", "ab12-0.new-77"
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
posix = pytest.mark.skipif(os.name != "posix", reason="permissions and signals are POSIX's")

# Loads the module by its path: the package takes seconds, and its file needs nothing of it.
PRELUDE = f"""
import importlib.util, os, pathlib, sys, time
spec = importlib.util.spec_from_file_location("store", {_store.__file__!r})
store = importlib.util.module_from_spec(spec)
sys.modules["store"] = store
spec.loader.exec_module(store)
def ready():
    print("ready", flush=True)
def shelf(**settings):
    return store.open_shelf(store.Store(sys.argv[1], key={KEY!r}, **settings))
"""


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
def shelf(folder):
    return open_shelf(Store(folder, key=KEY))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not IS_ROOT or sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def at_most(seconds):
    def stop(*_):
        raise AssertionError("it waits")  # a TimeoutError would be an OSError, as the disk's are

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def other_process(code, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_ready(process):
    return process.stdout.readline() == "ready\n"


def path_of(folder, name):
    return folder / "stackkit-1" / name[:2] / name


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def drafts_in(folder):
    return list((folder / "stackkit-1" / "tmp").glob("*"))


def some_table(shelf, name=TABLE):
    shelf.write_table(name, {"oof": np.arange(6.0).reshape(3, 2)}, {"seconds": 1.5})


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


# --- round trips ------------------------------------------------------------------------------------


def test_nothing_is_there_at_first(shelf):
    assert shelf.read(MODEL) is None
    assert shelf.read_table(TABLE) is None
    assert not shelf.has(MODEL)


@pytest.mark.parametrize("parts", [(), (b"",), (b"one",), (b"on", bytearray(b"e, t"), memoryview(b"wo"))])
def test_bytes_come_back(shelf, parts):
    shelf.write(MODEL, *parts)
    assert shelf.has(MODEL)
    assert bytes(shelf.read(MODEL)) == b"".join(parts)
    assert pickle.loads(pickle.dumps(shelf)).read(MODEL) == shelf.read(MODEL)


def test_parts_of_wide_items_are_bytes_too(shelf):
    numbers = np.arange(5.0)
    shelf.write(MODEL, memoryview(numbers), b"!")
    assert bytes(shelf.read(MODEL)) == numbers.tobytes() + b"!"


def test_latest_writing_counts(shelf, folder):
    shelf.write(MODEL, b"a longer first")
    shelf.write(MODEL, b"second")
    assert bytes(shelf.read(MODEL)) == b"second"
    assert files_in(folder) == [f"stackkit-1/ab/{MODEL}"]


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.1, np.nan, -0.0], [np.inf, 5e-324, 1e308]]),
        np.asfortranarray(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)),
        np.arange(24, dtype=np.int8).reshape(2, 3, 4)[:, ::-1],
        np.array(["no", "yes", "äö"]),
        np.array([b"x", b"yz"]),
        np.array([True, False]),
        np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(3),
        np.empty((0, 3)),
        np.arange(3, dtype=">i4"),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_come_back_to_the_bit(shelf, array):
    shelf.write_table(TABLE, {"it": array}, {})
    arrays, facts = shelf.read_table(TABLE)
    assert facts == {}
    assert (arrays["it"].dtype, arrays["it"].shape) == (array.dtype, array.shape)
    assert arrays["it"].tobytes() == array.tobytes()
    assert arrays["it"].flags.writeable


def test_facts_come_back(shelf):
    facts = {"seconds": 0.1 + 0.2, "nan": math.nan, "inf": -math.inf, "n": 2**70, "labels": ["ä", None, True]}
    shelf.write_table(TABLE, {}, facts)
    arrays, found = shelf.read_table(TABLE)
    assert arrays == {}
    assert math.isnan(found.pop("nan"))
    assert math.isnan(facts.pop("nan"))
    assert found == facts


def test_arrays_may_have_any_name(shelf):
    names = ["file", "args", "arr_0", "arr_1", "allow_pickle", "a/b", "x", "x.npy", "", "ä\ud800", "../up"]
    shelf.write_table(TABLE, {name: np.array(k) for k, name in enumerate(names)}, {"arr_0": 1})
    arrays, facts = shelf.read_table(TABLE)
    assert {name: int(array) for name, array in arrays.items()} == {name: k for k, name in enumerate(names)}
    assert facts == {"arr_0": 1}


@pytest.mark.parametrize(
    "array", [np.array(["a", None], object), np.array([(1, None)], [("a", "i4"), ("b", "O")])], ids=["plain", "field"]
)
def test_objects_are_refused(shelf, folder, array):
    with pytest.raises(ValueError, match=r"The array 'labels' must hold numbers or text; got .* in it"):
        shelf.write_table(TABLE, {"oof": np.zeros(2), "labels": array}, {})
    assert files_in(folder) == []


def test_bytes_that_are_no_table_are_a_problem(shelf):
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, np.arange(3))
    np.savez(npz, np.frombuffer(b"no json", np.uint8))
    for content in (b"", b"no npz", npy.getvalue(), npz.getvalue()):
        shelf.write(TABLE, content)
        with pytest.raises(StoreProblem, match=rf"{TABLE} holds no table"):
            shelf.read_table(TABLE)


@pytest.mark.parametrize(
    "name",
    ["", "ab", "ab12", "..", "../ab.table", "ab/../../x.table", "ab/x.table", "/etc/x.table", "AB.table", "zz.table",
     "ab.table\n", "ab..table", "ab.", "ab\0.table", "äb.table", "ab.ta ble"],
)  # fmt: skip
def test_names_lead_nowhere_else(shelf, folder, name):
    for use in (shelf.read, shelf.has, shelf.write):
        with pytest.raises(ValueError, match="must begin with two hexadecimal digits and have a suffix; got"):
            use(name)
    if name not in ("ab", "ab12"):  # good keys
        with pytest.raises(ValueError, match="must begin with two hexadecimal digits"):
            shelf.claim(name)
    assert files_in(folder) == []


# --- the seal ---------------------------------------------------------------------------------------


def spoiled(content):
    """Every byte changed in two ways, every length cut, something behind."""
    for at in range(len(content)):
        for change in (0x01, 0xFF):
            yield content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]
        yield content[:at]
    yield content + b"\0"
    yield content + content
    yield bytes(len(content))  # what a power failure may leave


def test_no_damaged_table_is_read(shelf, folder):
    some_table(shelf)
    path = path_of(folder, TABLE)
    whole = path.read_bytes()
    for content in spoiled(whole):
        path.write_bytes(content)
        with pytest.raises(
            StoreProblem, match=rf"{re.escape(str(path))} is (cut short, or no file|damaged, or was not)"
        ):
            shelf.read_table(TABLE)
    path.write_bytes(whole)
    assert_array_equal(shelf.read_table(TABLE)[0]["oof"], [[0, 1], [2, 3], [4, 5]])


def test_no_damaged_model_is_read(shelf, folder):
    shelf.write(MODEL, pickle.dumps({"weights": [1, 2, 3]}))
    path = path_of(folder, MODEL)
    for content in spoiled(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(StoreProblem, match=re.escape(str(path))):
            shelf.read(MODEL)


def test_files_do_not_change_places(shelf, folder):
    shelf.write("ab12-0.model", b"first")
    shelf.write("ab12-1.model", b"second")
    first, second = path_of(folder, "ab12-0.model"), path_of(folder, "ab12-1.model")
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    for name in ("ab12-0.model", "ab12-1.model"):
        with pytest.raises(StoreProblem, match="damaged"):
            shelf.read(name)


def test_end_of_the_name_does_not_pass_for_content(shelf, folder):
    """Without the name's length in the seal both files would have the same."""
    shelf.write("ab.model", b"-0.modelx")
    moved = path_of(folder, "ab.model-0.model")
    path_of(folder, "ab.model").rename(moved)
    moved.write_bytes(moved.read_bytes().replace(b"-0.modelx", b"x"))
    with pytest.raises(StoreProblem, match="damaged"):
        shelf.read("ab.model-0.model")


def test_seal_is_hmac_sha256_of_the_name_and_the_content(shelf, folder):
    shelf.write(MODEL, b"con", b"tent")
    magic = b"\x93STKKIT\x01"
    seal = hmac.digest(KEY.encode(), magic + bytes(7) + bytes([len(MODEL)]) + MODEL.encode() + b"content", "sha256")
    assert path_of(folder, MODEL).read_bytes() == magic + seal + b"content"


def test_another_key_opens_nothing(shelf, folder):
    some_table(shelf)
    other = open_shelf(Store(folder, key=KEY + "!"))
    assert other.has(TABLE)  # it looks at no seal
    with pytest.raises(StoreProblem, match="not written with this store's key"):
        other.read_table(TABLE)
    some_table(other)
    with pytest.raises(StoreProblem, match="not written with this store's key"):
        shelf.read_table(TABLE)


def test_another_format_is_not_read_whatever_its_seal(folder, monkeypatch):
    monkeypatch.setattr(_store, "_MAGIC", b"\x93STKKIT\x02")
    open_shelf(Store(folder, key=KEY)).write(MODEL, b"content")
    monkeypatch.undo()
    with pytest.raises(StoreProblem, match="no file of this store"):
        open_shelf(Store(folder, key=KEY)).read(MODEL)


def test_planted_pickles_are_not_run(shelf, folder, tmp_path):
    marker = tmp_path / "run"
    evil = pickle.dumps(Evil(marker))
    some_table(shelf)
    for name in (MODEL, TABLE, NEW):
        for start in (b"", path_of(folder, TABLE).read_bytes()[:40]):  # with the seal of something else
            path_of(folder, name).write_bytes(start + evil)
            for read in (shelf.read, shelf.read_table):
                with pytest.raises(StoreProblem):
                    read(name)
    assert not marker.exists()


def test_objects_in_a_table_are_not_loaded_even_under_a_seal(shelf, tmp_path):
    evil = io.BytesIO()
    np.savez(evil, np.array([Evil(tmp_path / "run")], object))
    shelf.write(TABLE, evil.getvalue())
    with pytest.raises(StoreProblem, match="holds no table"):
        shelf.read_table(TABLE)
    assert not (tmp_path / "run").exists()


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_what_is_no_file_is_a_problem_at_once(shelf, folder, kind):
    path = path_of(folder, MODEL)
    path.parent.mkdir(parents=True)
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
        "loop": lambda: path.symlink_to(path),
    }[kind]()
    with at_most(5):
        assert not shelf.has(MODEL)
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be read \("):
            shelf.read(MODEL)


def test_has_looks_at_the_start_and_the_size(shelf, folder):
    shelf.write(MODEL, b"content")
    path = path_of(folder, MODEL)
    whole = path.read_bytes()
    for content in (b"", whole[:39], bytes(len(whole)), b"x" + whole[1:]):
        path.write_bytes(content)
        assert not shelf.has(MODEL)
    path.write_bytes(whole)
    assert shelf.has(MODEL)


@posix
def test_links_are_read_through_but_not_written_through(shelf, folder, tmp_path):
    shelf.write(MODEL, b"content")
    path, elsewhere = path_of(folder, MODEL), tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert bytes(shelf.read(MODEL)) == b"content"
    before = elsewhere.read_bytes()
    shelf.write(MODEL, b"new")
    assert bytes(shelf.read(MODEL)) == b"new"
    assert not path.is_symlink()
    assert elsewhere.read_bytes() == before


@posix
def test_a_link_planted_for_the_draft_is_not_followed(shelf, folder, tmp_path, monkeypatch):
    shelf.write(MODEL, b"content")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(_store, "_unique", lambda: "1-0123456789abcdef")
    for target in (victim, tmp_path / "not-there"):
        link = folder / "stackkit-1" / "tmp" / "1-0123456789abcdef"
        link.symlink_to(target)
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be written \(File exists\)"):
            shelf.write(MODEL, b"new")
        link.unlink(missing_ok=True)
    assert victim.read_text() == "mine"
    assert not (tmp_path / "not-there").exists()
    assert bytes(shelf.read(MODEL)) == b"content"


# --- disks and processes that fail ------------------------------------------------------------------


@posix
def test_full_disk_by_limit(shelf, folder):
    shelf.write(MODEL, b"old")
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    shelf().write("ab12-0.model", bytes(60_000), bytes(60_000))
except store.StoreProblem as problem:
    print(problem)
shelf().write("ab12-1.model", bytes(60_000))
ready()
"""
    with other_process(code, folder) as process:
        said = process.stdout.readline()
        assert said == f"{path_of(folder, MODEL)} could not be written (File too large).\n"
        assert is_ready(process)
    assert bytes(shelf.read(MODEL)) == b"old"
    assert len(shelf.read("ab12-1.model")) == 60_000
    assert drafts_in(folder) == []


def test_full_disk_of_a_megabyte(small_disk):
    shelf = open_shelf(Store(small_disk, key=KEY))
    shelf.write(MODEL, b"old")
    for _ in range(3):
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be written \(No space left on device\)"):
            shelf.write(MODEL, random.Random(0).randbytes(2_000_000))
    assert drafts_in(small_disk) == []
    assert bytes(shelf.read(MODEL)) == b"old"
    shelf.write(MODEL, bytes(500_000))


def look_but_do_not_touch(shelf, name):
    """What may be done with a store that cannot be written to."""
    assert shelf.has(name)
    assert bytes(shelf.read(name)) == b"content"
    with pytest.raises(StoreProblem, match=rf"{name} could not be written \("):
        shelf.write(name, b"new")
    with pytest.raises(StoreProblem, match="could not be written"):
        shelf.write("cd34-0.model", b"new")
    with shelf.claim("ab12") as first, shelf.claim("ab12") as second:  # they lock nothing
        assert first is not second
    shelf.prune()
    assert bytes(shelf.read(name)) == b"content"


def test_disk_mounted_read_only(small_disk):
    open_shelf(Store(small_disk, key=KEY)).write(MODEL, b"content")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    look_but_do_not_touch(open_shelf(Store(small_disk, key=KEY, size_limit=1)), MODEL)
    assert open_shelf(Store(small_disk / "new", key=KEY)).read(MODEL) is None


@posix
@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_folder_without_write_permission(shelf, folder):
    shelf.write(MODEL, b"content")
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o500)
    try:
        look_but_do_not_touch(open_shelf(Store(folder, key=KEY, size_limit=1)), MODEL)
    finally:
        for path in folders:
            path.chmod(0o700)


@pytest.mark.parametrize("call", ["open", "replace", "mkdir"])
def test_every_failing_call_is_a_problem(shelf, folder, monkeypatch, call):
    if call != "mkdir":
        shelf.write(MODEL, b"content")
    real = getattr(os, call)

    def fails(path, *args, **kwargs):
        if call == "open" and not args[0] & os.O_WRONLY:
            return real(path, *args, **kwargs)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(StoreProblem, match=rf"{MODEL} could not be written \(Read-only file system\)") as caught:
        shelf.write(MODEL, b"new")
    assert isinstance(caught.value.__cause__, OSError)
    monkeypatch.undo()
    assert drafts_in(folder) == []
    assert call == "mkdir" or bytes(shelf.read(MODEL)) == b"content"


def test_a_failing_read_is_a_problem(shelf, monkeypatch):
    shelf.write(MODEL, b"content")
    for error, why in (
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "MemoryError"),
    ):
        monkeypatch.setattr(_store, "_read_file", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be read \({why}\)"):
            shelf.read(MODEL)


def test_interrupted_writing_leaves_no_draft(shelf, folder, monkeypatch):
    shelf.write(MODEL, b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        shelf.write(MODEL, b"new")
    assert drafts_in(folder) == []
    assert bytes(shelf.read(MODEL)) == b"old"


@posix
@pytest.mark.parametrize("before", [b"", b"old"], ids=["first", "again"])
def test_killed_with_half_a_file_written(shelf, folder, before):
    code = """
def half():
    yield bytes(1_000_000)
    ready()
    time.sleep(60)
class Half(store.Shelf):
    def _put(self, path, parts):
        super()._put(path, half())
Half(pathlib.Path(sys.argv[1]), b"k" * 16).write("ab12-0.model", b"new")
"""
    shelf.write(TABLE, b"makes the folders")
    if before:
        shelf.write(MODEL, before)
    with other_process(code, folder) as process:
        assert is_ready(process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (draft,) = drafts_in(folder)
    assert draft.stat().st_size > 100_000
    content = shelf.read(MODEL)
    assert bytes(content) == before if before else content is None
    assert store_info(folder).n_models == bool(before)
    os.utime(draft, (0, time.time() - 4000))
    shelf.prune()
    assert drafts_in(folder) == []


@posix
def test_killed_at_any_time(shelf, folder):
    code = """
shelf = shelf()
shelf.write("ab12-0.model", b"x" * 3_000_000)
ready()
while True:
    for letter in b"xyz":
        shelf.write("ab12-0.model", bytes([letter]) * 3_000_000)
"""
    for seed in range(5):
        with other_process(code, folder) as process:
            assert is_ready(process)
            time.sleep(random.Random(seed).uniform(0, 0.05))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        content = bytes(shelf.read(MODEL))
        assert content == content[:1] * 3_000_000
        assert content[:1] in b"xyz"


def test_readers_see_whole_files_while_others_write(shelf):
    done = threading.Event()
    shelf.write(MODEL, bytes(200_000))

    def write(letter):
        while not done.is_set():
            shelf.write(MODEL, letter * 200_000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"x", b"y")]
    for writer in writers:
        writer.start()
    try:
        seen = [bytes(shelf.read(MODEL)) for _ in range(100)]
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert all(content == content[:1] * 200_000 for content in seen)


def test_writing_goes_on_after_the_store_was_cleared(shelf, folder, monkeypatch):
    shelf.write(MODEL, b"old")
    put = Shelf._put

    def put_after_clear(*args):
        monkeypatch.undo()
        store_clear(folder)
        put(*args)

    monkeypatch.setattr(Shelf, "_put", put_after_clear)
    shelf.write(MODEL, b"new")
    assert bytes(shelf.read(MODEL)) == b"new"


@posix
@pytest.mark.parametrize("umask", [0, 0o022])
def test_others_may_not_look(tmp_path, home, umask):
    folder = tmp_path / "deep" / "folder"
    before = os.umask(umask)
    try:
        shelf = open_shelf(folder)
        some_table(shelf)
        claim = shelf.claim("ab12")
        (folder / "stackkit-1" / "tmp" / "1-0123456789abcdef").touch(0o600)
        paths = [tmp_path / "deep", folder, *folder.rglob("*"), tmp_path / "home", home, *home.rglob("*")]
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
        claim.release()
    finally:
        os.umask(before)
    assert len(modes) == 13
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()), modes


# --- claims -----------------------------------------------------------------------------------------


def test_only_one_has_the_claim(shelf, folder):
    claim = shelf.claim("ab12")
    assert claim is not None
    assert shelf.claim("ab12") is None
    assert open_shelf(Store(folder, key=KEY)).claim("ab12") is None
    from_thread = []
    thread = threading.Thread(target=lambda: from_thread.append(shelf.claim("ab12")))
    thread.start()
    thread.join()
    assert from_thread == [None]
    with shelf.claim("ab13") as another:
        assert another is not None
    claim.release()
    with shelf.claim("ab12") as again:
        assert again is not None
        claim.release()  # for the second time: not the new owner's
        assert shelf.claim("ab12") is None
    assert files_in(folder) == []


def test_claim_is_released_from_another_thread_and_after_an_error(shelf):
    claim = shelf.claim("ab12")
    thread = threading.Thread(target=claim.release)
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError, match="in between"), shelf.claim("ab12"):
        raise RuntimeError("in between")
    assert shelf.claim("ab12") is not None


@posix
def test_claim_of_another_process_ends_with_it(shelf, folder):
    code = "claim = shelf().claim('ab12')\nassert claim\nready()\ntime.sleep(60)"
    with other_process(code, folder) as process:
        assert is_ready(process)
        assert shelf.claim("ab12") is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        claim = shelf.claim("ab12")
        assert claim is not None
        assert time.monotonic() - started < 1
        claim.release()
    assert files_in(folder) == []


@posix
def test_another_process_sees_our_claim(shelf, folder):
    code = """
print(shelf().claim("ab12"), flush=True)
sys.stdin.readline()
print(type(shelf().claim("ab12")).__name__, flush=True)
"""
    claim = shelf.claim("ab12")
    with other_process(code, folder) as process:
        assert process.stdout.readline() == "None\n"
        claim.release()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "Claim\n"


@posix
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_locks_do_not_work_claims_lock_nothing(shelf, monkeypatch, recwarn, code):
    import fcntl

    def fails(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fails)
    with shelf.claim("ab12") as first, shelf.claim("ab12") as second:
        assert (first is None, second is None) == (False, False)
    assert not recwarn.list


@posix
def test_something_planted_as_a_lock_does_no_harm(shelf, folder, tmp_path):
    locks, victim = folder / "stackkit-1" / "locks", tmp_path / "victim"
    locks.mkdir(parents=True)
    victim.write_text("mine")
    (locks / "ab12.lock").symlink_to(victim)
    (locks / "ab13.lock").mkdir()
    os.mkfifo(locks / "ab14.lock")
    with at_most(5):
        for key in ("ab12", "ab13", "ab14"):
            shelf.claim(key).release()
    assert victim.read_text() == "mine"


# --- the key ----------------------------------------------------------------------------------------


def test_key_is_made_once(folder, tmp_path, home):
    some_table(open_shelf(folder))
    made = (home / "stackkit" / "store.key").read_bytes()
    assert re.fullmatch(rb"[0-9a-f]{64}", made)
    assert open_shelf(str(folder)).read_table(TABLE) is not None
    assert open_shelf(tmp_path / "other").key == bytes.fromhex(made.decode())
    assert files_in(home) == ["stackkit/store.key"]
    assert open_shelf(Store(folder, key_file=tmp_path / "own" / "key")).key != bytes.fromhex(made.decode())


def test_key_is_not_made_where_it_is_not_needed(folder, home):
    open_shelf(Store(folder, key=KEY))
    store_info(folder)
    store_clear(folder)
    assert open_shelf(None) is None
    assert not home.exists()


def test_key_as_text_is_its_utf8(folder):
    assert open_shelf(Store(folder, key="ä" * 8)).key == "ä".encode() * 8
    assert open_shelf(Store(folder, key=b"k" * 16)).key == b"k" * 16


@posix
def test_many_processes_make_one_key(folder, home):
    code = """
ready()
sys.stdin.readline()
print(store.open_shelf(sys.argv[1] + str(os.getpid())).key.hex(), flush=True)
"""
    code = f"import platformdirs\nplatformdirs.user_data_path = lambda *_, **__: pathlib.Path({str(home)!r})\n" + code
    starts = [other_process(code, folder) for _ in range(8)]
    processes = [start.__enter__() for start in starts]
    try:
        assert all(is_ready(process) for process in processes)
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        keys = {process.stdout.readline().strip() for process in processes}
    finally:
        for start in starts:
            start.__exit__(None, None, None)
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
    assert open_shelf(Store(folder, key_file=path)).key == b"\x55" * 32
    assert path.read_text() == "5" * 64
    assert [item.name for item in tmp_path.glob("key*")] == ["key"]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_key_open_to_others_is_refused(folder, tmp_path, mode):
    path = tmp_path / "a key"
    open_shelf(Store(folder, key_file=path))
    path.chmod(mode)
    with pytest.raises(StoreProblem, match=r"open to other users; run chmod 600 '.*/a key'\."):
        open_shelf(Store(folder, key_file=path))
    path.chmod(0o400)
    open_shelf(Store(folder, key_file=path))


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
        open_shelf(Store(folder, key_file=path))
    assert path.read_bytes() == content


def test_key_may_end_in_a_line_break(folder, tmp_path):
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    (tmp_path / "key").chmod(0o600)
    assert open_shelf(Store(folder, key_file=tmp_path / "key")).key == b"\xab" * 32


def test_key_that_cannot_be_made_is_a_problem(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "not-there")
    for path in (tmp_path / "file" / "key", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreProblem, match=rf"key {re.escape(str(path))} could not be read or made"):
            open_shelf(Store(folder, key_file=path))

    def fails(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(StoreProblem, match=r"could not be read or made \(no links here\)"):
        open_shelf(Store(folder, key_file=tmp_path / "new"))
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
            open_shelf(store)
    assert files_in(tmp_path) == ["link"]
    open_shelf(Store(folder, key_file=tmp_path / "folder.key"))
    open_shelf(Store(home.parent, key=KEY))


# --- least recently used ----------------------------------------------------------------------------


def used(folder, name, seconds_ago):
    at = time.time() - seconds_ago
    os.utime(path_of(folder, name), (at, at))


def test_least_recently_used_go(folder):
    shelf = open_shelf(Store(folder, key=KEY, size_limit=3 * 1040))
    names = [f"a{k}-0.model" for k in range(6)]
    for k, name in enumerate(names):
        shelf.write(name, bytes(1000))
        used(folder, name, 100 - k)
    shelf.read(names[1])
    shelf.prune()
    assert [name for name in names if shelf.has(name)] == [names[1], names[4], names[5]]
    shelf.prune()
    assert store_info(folder).n_models == 3


def test_store_just_at_its_limit_loses_nothing(folder):
    for limit, left in ((2 * 1040, 2), (2 * 1040 - 1, 1)):
        shelf = open_shelf(Store(folder, key=KEY, size_limit=limit))
        for name in ("aa-0.model", "bb-0.table"):
            shelf.write(name, bytes(1000))
        shelf.prune()
        assert store_info(folder).n_tables + store_info(folder).n_models == left


def test_without_a_limit_nothing_goes(shelf, folder):
    some_table(shelf)
    used(folder, TABLE, 10**8)
    shelf.prune()
    assert shelf.has(TABLE)


def test_prune_removes_what_killed_processes_left(shelf, folder):
    some_table(shelf)
    root = folder / "stackkit-1"
    (root / "locks").mkdir()
    held = shelf.claim("ab12")
    left = [root / "tmp" / "7-0123456789abcdef", root / "locks" / "ab13.lock"]
    kept = [
        root / "tmp" / "7-0123456789abcdee",  # young
        root / "locks" / "ab14.lock",
        root / "tmp" / "mine",  # not the store's
        root / "locks" / "mine",
    ]
    for path in (*left, *kept):
        path.write_bytes(b"x")
    for path in (*left, *kept[2:], root / "locks" / "ab12.lock"):
        os.utime(path, (0, time.time() - 3700))
    shelf.prune()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert shelf.claim("ab12") is None
    held.release()
    open_shelf(Store(folder / "new", key=KEY)).prune()  # nothing there


def test_prune_ignores_what_it_cannot_remove(folder, monkeypatch):
    shelf = open_shelf(Store(folder, key=KEY, size_limit=1))
    shelf.write("aa-0.model", b"content")
    shelf.write("bb-0.model", b"content")
    used(folder, "aa-0.model", 100)
    unlink = Path.unlink

    def stubborn(path, **kwargs):
        if path.name == "aa-0.model":
            raise PermissionError(errno.EACCES, "not yours")
        unlink(path, **kwargs)

    monkeypatch.setattr(Path, "unlink", stubborn)
    shelf.prune()
    assert (shelf.has("aa-0.model"), shelf.has("bb-0.model")) == (True, False)
    monkeypatch.setattr(os, "scandir", lambda _: (_ for _ in ()).throw(PermissionError(errno.EACCES, "not yours")))
    shelf.prune()


@posix
def test_two_processes_prune_at_once(shelf, folder):
    for k in range(400):
        shelf.write(f"{k % 256:02x}-{k}.table", bytes(60))
        used(folder, f"{k % 256:02x}-{k}.table", 1000 - k)
    code = """
shelf = shelf(size_limit=100 * 50)
ready()
sys.stdin.readline()
shelf.prune()
ready()
"""
    with other_process(code, folder) as one, other_process(code, folder) as two:
        assert is_ready(one)
        assert is_ready(two)
        for process in (one, two):
            process.stdin.write("\n")
            process.stdin.flush()
        assert is_ready(one)
        assert is_ready(two)
    assert store_info(folder).n_tables == 50
    assert shelf.has(f"{399 % 256:02x}-399.table")


# --- what users see ---------------------------------------------------------------------------------


def test_info_of_no_folder_makes_none(folder):
    info = store_info(folder)
    assert (info.n_entries, info.n_tables, info.n_models, info.size) == (0, 0, 0, 0)
    assert (info.size_limit, info.oldest, info.newest) == (None, None, None)
    assert info.folder == folder
    assert repr(info) == f"Store in {folder}: 0 entries (0 tables, 0 models), 0 bytes"
    assert not folder.exists()


def test_info_counts(shelf, folder):
    for name in (TABLE, MODEL, NEW, "ab12-1.table", "abff-0.table"):
        shelf.write(name, bytes(1000))
    used(folder, MODEL, 3600)
    (folder / "mine.table").write_bytes(bytes(500))
    path_of(folder, "ab12.table").with_suffix("").mkdir()
    path_of(folder, "cd.table").parent.mkdir()
    path_of(folder, "cd.table").with_name("ab12-9.table").touch()  # where the store puts no such name
    shelf.claim("ab12")
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


def test_clear_leaves_what_is_not_the_stores(shelf, folder, tmp_path):
    for name in (TABLE, MODEL, NEW, "cd34-0.model"):
        shelf.write(name, b"content")
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


def test_clear_leaves_no_trace_and_may_be_repeated(shelf, folder):
    some_table(shelf)
    shelf.claim("ab12").release()
    shelf.prune()
    for _ in range(2):
        Store(folder).clear()
        assert list(folder.iterdir()) == []
    folder.rmdir()
    store_clear(folder)
    assert not folder.exists()
    some_table(shelf)
    assert shelf.read_table(TABLE) is not None


def test_clear_leaves_the_locks_of_the_living(shelf, folder):
    with shelf.claim("ab12"):
        store_clear(folder)
        assert shelf.claim("ab12") is None
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


def test_key_is_not_shown(shelf, folder):
    store = Store(folder, key=KEY, size_limit=10)
    for shown in (store, shelf, Holder(store), store.info()):
        assert KEY not in repr(shown) + str(shown)
    with pytest.raises(ValueError, match="got 5") as caught:
        open_shelf(Store(folder, key="hush!"))
    assert "hush" not in str(caught.value)
    with pytest.raises(TypeError, match="got a list") as caught:
        open_shelf(Store(folder, key=["hush!" * 9]))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [(1, 1), (np.int64(7), 7), ("500", 500), ("500 B", 500), ("500 MB", 5 * 10**8), ("2GB", 2 * 10**9),
     (" 1 tb ", 10**12),
     ("1.5 GiB", 3 * 2**29), ("1 KiB", 1024), ("0.1 MB", 100_000), ("1 kB", 1000), ("9" * 400 + " TB", None)],
)  # fmt: skip
def test_size_limits(folder, text, size):
    got = open_shelf(Store(folder, key=KEY, size_limit=text)).size_limit
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
    for use in (open_shelf, store_info, store_clear):
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
    for use in (open_shelf, store_info, store_clear):
        with pytest.raises(error, match=match):
            use(Store(folder, **settings))
    assert not folder.exists()


def test_bad_memory(folder):
    for memory in (3, ["a"], b"folder", True):
        match = r"The 'memory' parameter must be a folder, a Store or None; got .*\. Pass the folder's path"
        with pytest.raises(TypeError, match=match):
            open_shelf(memory)
    with pytest.raises(TypeError, match=rf"got Memory\(.*memory='{folder}'"):
        open_shelf(joblib.Memory(folder, verbose=0))
    with pytest.raises(TypeError, match="Pass the folder's path: memory='a/folder'"):
        open_shelf(joblib.Memory(None))
    for place in (3, None, types.SimpleNamespace()):
        for use in (open_shelf, store_info, store_clear):
            with pytest.raises(TypeError, match="The 'folder' parameter of a Store must be a path"):
                use(Store(place))
    with pytest.raises(ValueError, match="The 'folder' parameter of a Store must be a path"):
        open_shelf("")


def test_folder_that_is_a_file(folder):
    folder.write_text("mine")
    for use in (open_shelf, store_info, store_clear):
        with pytest.raises(ValueError, match=rf"must be a folder; got the file {folder}\. Choose another name"):
            use(folder)
    assert folder.read_text() == "mine"


def test_folder_that_cannot_be_made_opens_all_the_same(folder):
    folder.write_text("mine")
    shelf = open_shelf(Store(folder / "below", key=KEY))
    with pytest.raises(StoreProblem, match=r"could not be written \(Not a directory\)"):
        shelf.write(MODEL, b"content")
    with pytest.raises(StoreProblem, match=r"could not be read \(Not a directory\)"):
        shelf.read(MODEL)
    assert not shelf.has(MODEL)
    with shelf.claim("ab12") as claim:
        assert claim is not None
    shelf.prune()
    assert store_info(folder / "below").n_entries == 0


def test_folder_is_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert open_shelf("store").folder == tmp_path / "store"
    assert open_shelf(Store("~/store", key=KEY)).folder == tmp_path / "me" / "store"
    assert open_shelf(Store("store", key_file="~/key")).key
    assert (tmp_path / "me" / "key").exists()


def test_settings_reach_the_shelf(folder):
    shelf = open_shelf(Store(folder, store_models=False, size_limit="1 kB", key=KEY))
    assert (shelf.store_models, shelf.size_limit, shelf.folder) == (False, 1000, folder)
    assert open_shelf(Store(folder, key=KEY)).store_models
    assert pickle.loads(pickle.dumps(shelf)) == shelf


def test_locks_are_those_that_die_with_their_owner(shelf, monkeypatch):
    options = []
    real = filelock.FileLock
    monkeypatch.setattr(filelock, "FileLock", lambda *args, **kwargs: options.append(kwargs) or real(*args, **kwargs))
    shelf.claim("ab12").release()
    assert options == [{"timeout": 0, "mode": 0o600, "thread_local": False, "fallback_to_soft": False}]
