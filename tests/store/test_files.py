import errno
import hmac
import io
import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from store_helpers import KEY, MODEL, NEW, TABLE, files_in, is_ready, other_process, path_of, posix, some_table, used
from watchdog import at_most

from stackkit._store import files as _shelf
from stackkit._store.files import StoreFiles, StoreProblem
from stackkit._store.store import Store, open_store, store_clear, store_info

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "folder"


@pytest.fixture
def store_files(folder):
    return open_store(Store(folder, key=KEY))


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


def drafts_in(folder):
    return list((folder / "stackkit-1" / "tmp").glob("*"))


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


# --- round trips ------------------------------------------------------------------------------------


def test_nothing_is_there_at_first(store_files):
    assert store_files.read(MODEL) is None
    assert store_files.read_arrays(TABLE) is None
    assert not store_files.has(MODEL)


@pytest.mark.parametrize("parts", [(), (b"",), (b"one",), (b"on", bytearray(b"e, t"), memoryview(b"wo"))])
def test_bytes_come_back(store_files, parts):
    store_files.write(MODEL, *parts)
    assert store_files.has(MODEL)
    assert bytes(store_files.read(MODEL)) == b"".join(parts)
    assert pickle.loads(pickle.dumps(store_files)).read(MODEL) == store_files.read(MODEL)


def test_parts_of_wide_items_are_bytes_too(store_files):
    numbers = np.arange(5.0)
    store_files.write(MODEL, memoryview(numbers), b"!")
    assert bytes(store_files.read(MODEL)) == numbers.tobytes() + b"!"


def test_latest_writing_counts(store_files, folder):
    store_files.write(MODEL, b"a longer first")
    store_files.write(MODEL, b"second")
    assert bytes(store_files.read(MODEL)) == b"second"
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
def test_arrays_come_back_to_the_bit(store_files, array):
    store_files.write_arrays(TABLE, {"it": array}, {})
    arrays, facts = store_files.read_arrays(TABLE)
    assert facts == {}
    assert (arrays["it"].dtype, arrays["it"].shape) == (array.dtype, array.shape)
    assert arrays["it"].tobytes() == array.tobytes()
    assert arrays["it"].flags.writeable


def test_facts_come_back(store_files):
    facts = {"seconds": 0.1 + 0.2, "nan": math.nan, "inf": -math.inf, "n": 2**70, "labels": ["ä", None, True]}
    store_files.write_arrays(TABLE, {}, facts)
    arrays, found = store_files.read_arrays(TABLE)
    assert arrays == {}
    assert math.isnan(found.pop("nan"))
    assert math.isnan(facts.pop("nan"))
    assert found == facts


def test_arrays_may_have_any_name(store_files):
    names = ["file", "args", "arr_0", "arr_1", "allow_pickle", "a/b", "x", "x.npy", "", "ä\ud800", "../up"]
    store_files.write_arrays(TABLE, {name: np.array(k) for k, name in enumerate(names)}, {"arr_0": 1})
    arrays, facts = store_files.read_arrays(TABLE)
    assert {name: int(array) for name, array in arrays.items()} == {name: k for k, name in enumerate(names)}
    assert facts == {"arr_0": 1}


@pytest.mark.parametrize(
    "array", [np.array(["a", None], object), np.array([(1, None)], [("a", "i4"), ("b", "O")])], ids=["plain", "field"]
)
def test_objects_are_refused(store_files, folder, array):
    with pytest.raises(ValueError, match=r"The array 'labels' must hold numbers or text; got .* in it"):
        store_files.write_arrays(TABLE, {"oof": np.zeros(2), "labels": array}, {})
    assert files_in(folder) == []


def test_bytes_that_are_no_table_are_a_problem(store_files):
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, np.arange(3))
    np.savez(npz, np.frombuffer(b"no json", np.uint8))
    for content in (b"", b"no npz", npy.getvalue(), npz.getvalue()):
        store_files.write(TABLE, content)
        with pytest.raises(StoreProblem, match=rf"{TABLE} holds no table"):
            store_files.read_arrays(TABLE)


@pytest.mark.parametrize(
    "name",
    ["", "ab", "ab12", "..", "../ab.table", "ab/../../x.table", "ab/x.table", "/etc/x.table", "AB.table", "zz.table",
     "ab.table\n", "ab..table", "ab.", "ab\0.table", "äb.table", "ab.ta ble"],
)  # fmt: skip
def test_names_lead_nowhere_else(store_files, folder, name):
    for use in (store_files.read, store_files.has, store_files.write):
        with pytest.raises(ValueError, match="must begin with two hexadecimal digits and have a suffix; got"):
            use(name)
    if name not in ("ab", "ab12"):  # good keys
        with pytest.raises(ValueError, match="must begin with two hexadecimal digits"):
            store_files.claim(name)
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


@pytest.mark.slow
def test_no_damaged_table_is_read(store_files, folder):
    some_table(store_files)
    path = path_of(folder, TABLE)
    whole = path.read_bytes()
    for content in spoiled(whole):
        path.write_bytes(content)
        with pytest.raises(
            StoreProblem, match=rf"{re.escape(str(path))} is (cut short, or no file|damaged, or was not)"
        ):
            store_files.read_arrays(TABLE)
    path.write_bytes(whole)
    assert_array_equal(store_files.read_arrays(TABLE)[0]["oof"], [[0, 1], [2, 3], [4, 5]])


def test_no_damaged_model_is_read(store_files, folder):
    store_files.write(MODEL, pickle.dumps({"weights": [1, 2, 3]}))
    path = path_of(folder, MODEL)
    for content in spoiled(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(StoreProblem, match=re.escape(str(path))):
            store_files.read(MODEL)


def test_files_do_not_change_places(store_files, folder):
    store_files.write("ab12-0.model", b"first")
    store_files.write("ab12-1.model", b"second")
    first, second = path_of(folder, "ab12-0.model"), path_of(folder, "ab12-1.model")
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    for name in ("ab12-0.model", "ab12-1.model"):
        with pytest.raises(StoreProblem, match="damaged"):
            store_files.read(name)


def test_end_of_the_name_does_not_pass_for_content(store_files, folder):
    """Without the name's length in the seal both files would have the same."""
    store_files.write("ab.model", b"-0.modelx")
    moved = path_of(folder, "ab.model-0.model")
    path_of(folder, "ab.model").rename(moved)
    moved.write_bytes(moved.read_bytes().replace(b"-0.modelx", b"x"))
    with pytest.raises(StoreProblem, match="damaged"):
        store_files.read("ab.model-0.model")


def test_seal_is_hmac_sha256_of_the_name_and_the_content(store_files, folder):
    store_files.write(MODEL, b"con", b"tent")
    magic = b"\x93STKKIT\x01"
    seal = hmac.digest(KEY.encode(), magic + bytes(7) + bytes([len(MODEL)]) + MODEL.encode() + b"content", "sha256")
    assert path_of(folder, MODEL).read_bytes() == magic + seal + b"content"


def test_another_key_opens_nothing(store_files, folder):
    some_table(store_files)
    other = open_store(Store(folder, key=KEY + "!"))
    assert other.has(TABLE)  # it looks at no seal
    with pytest.raises(StoreProblem, match="not written with this store's key"):
        other.read_arrays(TABLE)
    some_table(other)
    with pytest.raises(StoreProblem, match="not written with this store's key"):
        store_files.read_arrays(TABLE)


def test_another_format_is_not_read_whatever_its_seal(folder, monkeypatch):
    monkeypatch.setattr(_shelf, "_MAGIC", b"\x93STKKIT\x02")
    open_store(Store(folder, key=KEY)).write(MODEL, b"content")
    monkeypatch.undo()
    with pytest.raises(StoreProblem, match="no file of this store"):
        open_store(Store(folder, key=KEY)).read(MODEL)


def test_planted_pickles_are_not_run(store_files, folder, tmp_path):
    marker = tmp_path / "run"
    evil = pickle.dumps(Evil(marker))
    some_table(store_files)
    for name in (MODEL, TABLE, NEW):
        for start in (b"", path_of(folder, TABLE).read_bytes()[:40]):  # with the seal of something else
            path_of(folder, name).write_bytes(start + evil)
            for read in (store_files.read, store_files.read_arrays):
                with pytest.raises(StoreProblem):
                    read(name)
    assert not marker.exists()


def test_objects_in_a_table_are_not_loaded_even_under_a_seal(store_files, tmp_path):
    evil = io.BytesIO()
    np.savez(evil, np.array([Evil(tmp_path / "run")], object))
    store_files.write(TABLE, evil.getvalue())
    with pytest.raises(StoreProblem, match="holds no table"):
        store_files.read_arrays(TABLE)
    assert not (tmp_path / "run").exists()


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_what_is_no_file_is_a_problem_at_once(store_files, folder, kind):
    path = path_of(folder, MODEL)
    path.parent.mkdir(parents=True)
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
        "loop": lambda: path.symlink_to(path),
    }[kind]()
    with at_most(5):
        assert store_files.has(MODEL)  # something is
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be read \("):
            store_files.read(MODEL)


def test_has_says_that_something_is_there_and_read_whether_it_is_any_good(store_files, folder):
    store_files.write(MODEL, b"content")
    path = path_of(folder, MODEL)
    whole = path.read_bytes()
    for content in (b"", whole[:39], bytes(len(whole)), b"x" + whole[1:]):
        path.write_bytes(content)
        assert store_files.has(MODEL)
        with pytest.raises(StoreProblem):
            store_files.read(MODEL)
    path.unlink()
    assert not store_files.has(MODEL)


@posix
def test_links_are_read_through_but_not_written_through(store_files, folder, tmp_path):
    store_files.write(MODEL, b"content")
    path, elsewhere = path_of(folder, MODEL), tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert bytes(store_files.read(MODEL)) == b"content"
    before = elsewhere.read_bytes()
    store_files.write(MODEL, b"new")
    assert bytes(store_files.read(MODEL)) == b"new"
    assert not path.is_symlink()
    assert elsewhere.read_bytes() == before


@posix
def test_a_link_planted_for_the_draft_is_not_followed(store_files, folder, tmp_path, monkeypatch):
    store_files.write(MODEL, b"content")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(_shelf, "unique", lambda: "1-0123456789abcdef")
    for target in (victim, tmp_path / "not-there"):
        link = folder / "stackkit-1" / "tmp" / "1-0123456789abcdef"
        link.symlink_to(target)
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be written \(File exists\)"):
            store_files.write(MODEL, b"new")
        link.unlink(missing_ok=True)
    assert victim.read_text() == "mine"
    assert not (tmp_path / "not-there").exists()
    assert bytes(store_files.read(MODEL)) == b"content"


# --- disks and processes that fail ------------------------------------------------------------------


@posix
def test_full_disk_by_limit(store_files, folder):
    store_files.write(MODEL, b"old")
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store_files().write("ab12-0.model", bytes(60_000), bytes(60_000))
except store.StoreProblem as problem:
    print(problem)
store_files().write("ab12-1.model", bytes(60_000))
ready()
"""
    with other_process(code, folder) as process:
        said = process.stdout.readline()
        assert said == f"{path_of(folder, MODEL)} could not be written (File too large).\n"
        assert is_ready(process)
    assert bytes(store_files.read(MODEL)) == b"old"
    assert len(store_files.read("ab12-1.model")) == 60_000
    assert drafts_in(folder) == []


def test_full_disk_of_a_megabyte(small_disk):
    store_files = open_store(Store(small_disk, key=KEY))
    store_files.write(MODEL, b"old")
    for _ in range(3):
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be written \(No space left on device\)"):
            store_files.write(MODEL, random.Random(0).randbytes(2_000_000))
    assert drafts_in(small_disk) == []
    assert bytes(store_files.read(MODEL)) == b"old"
    store_files.write(MODEL, bytes(500_000))


def look_but_do_not_touch(store_files, name):
    """What may be done with a store that cannot be written to."""
    assert store_files.has(name)
    assert bytes(store_files.read(name)) == b"content"
    with pytest.raises(StoreProblem, match=rf"{name} could not be written \("):
        store_files.write(name, b"new")
    with pytest.raises(StoreProblem, match="could not be written"):
        store_files.write("cd34-0.model", b"new")
    with store_files.claim("ab12") as first, store_files.claim("ab12") as second:  # they lock nothing
        assert first is not second
    store_files.prune()
    assert bytes(store_files.read(name)) == b"content"


def test_disk_mounted_read_only(small_disk):
    open_store(Store(small_disk, key=KEY)).write(MODEL, b"content")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    look_but_do_not_touch(open_store(Store(small_disk, key=KEY, size_limit=1)), MODEL)
    assert open_store(Store(small_disk / "new", key=KEY)).read(MODEL) is None


@posix
@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_folder_without_write_permission(store_files, folder):
    store_files.write(MODEL, b"content")
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o500)
    try:
        look_but_do_not_touch(open_store(Store(folder, key=KEY, size_limit=1)), MODEL)
    finally:
        for path in folders:
            path.chmod(0o700)


@pytest.mark.parametrize("call", ["open", "replace", "mkdir"])
def test_every_failing_call_is_a_problem(store_files, folder, monkeypatch, call):
    if call != "mkdir":
        store_files.write(MODEL, b"content")
    real = getattr(os, call)

    def fails(path, *args, **kwargs):
        if call == "open" and not args[0] & os.O_WRONLY:
            return real(path, *args, **kwargs)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(StoreProblem, match=rf"{MODEL} could not be written \(Read-only file system\)") as caught:
        store_files.write(MODEL, b"new")
    assert isinstance(caught.value.__cause__, OSError)
    monkeypatch.undo()
    assert drafts_in(folder) == []
    assert call == "mkdir" or bytes(store_files.read(MODEL)) == b"content"


def test_a_failing_read_is_a_problem(store_files, monkeypatch):
    store_files.write(MODEL, b"content")
    for error, why in (
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "MemoryError"),
    ):
        monkeypatch.setattr(_shelf, "read_file", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(StoreProblem, match=rf"{MODEL} could not be read \({why}\)"):
            store_files.read(MODEL)


def test_interrupted_writing_leaves_no_draft(store_files, folder, monkeypatch):
    store_files.write(MODEL, b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store_files.write(MODEL, b"new")
    assert drafts_in(folder) == []
    assert bytes(store_files.read(MODEL)) == b"old"


@posix
@pytest.mark.parametrize("before", [b"", b"old"], ids=["first", "again"])
def test_killed_with_half_a_file_written(store_files, folder, before):
    code = """
def half():
    yield bytes(1_000_000)
    ready()
    time.sleep(60)
class Half(store.StoreFiles):
    def _put(self, path, parts):
        super()._put(path, half())
Half(pathlib.Path(sys.argv[1]), b"k" * 16).write("ab12-0.model", b"new")
"""
    store_files.write(TABLE, b"makes the folders")
    if before:
        store_files.write(MODEL, before)
    with other_process(code, folder) as process:
        assert is_ready(process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (draft,) = drafts_in(folder)
    assert draft.stat().st_size > 100_000
    content = store_files.read(MODEL)
    assert bytes(content) == before if before else content is None
    assert store_info(folder).n_models == bool(before)
    os.utime(draft, (0, time.time() - 4000))
    store_files.prune()
    assert drafts_in(folder) == []


@pytest.mark.slow
@posix
def test_killed_at_any_time(store_files, folder):
    code = """
parent = os.getpid()
while os.read(0, 1):
    child = os.fork()  # what is killed need not load everything anew
    if child == 0:
        store_files = store_files()
        store_files.write("ab12-0.model", b"x" * 3_000_000)
        print(os.getpid(), flush=True)
        while os.getppid() == parent:
            for letter in b"xyz":
                store_files.write("ab12-0.model", bytes([letter]) * 3_000_000)
        os._exit(1)
    os.waitpid(child, 0)
    ready()
"""
    with other_process(code, folder) as process:
        for seed in range(5):
            process.stdin.write("\n")
            process.stdin.flush()
            writer = int(process.stdout.readline())
            time.sleep(random.Random(seed).uniform(0, 0.05))
            os.kill(writer, signal.SIGKILL)
            assert is_ready(process)  # for the next, since that one has ended
            content = bytes(store_files.read(MODEL))
            assert content == content[:1] * 3_000_000
            assert content[:1] in b"xyz"


def test_readers_see_whole_files_while_others_write(store_files):
    done = threading.Event()
    store_files.write(MODEL, bytes(200_000))

    def write(letter):
        while not done.is_set():
            store_files.write(MODEL, letter * 200_000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"x", b"y")]
    for writer in writers:
        writer.start()
    try:
        seen = [bytes(store_files.read(MODEL)) for _ in range(100)]
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert all(content == content[:1] * 200_000 for content in seen)


def test_writing_goes_on_after_the_store_was_cleared(store_files, folder, monkeypatch):
    store_files.write(MODEL, b"old")
    put = StoreFiles._put

    def put_after_clear(*args):
        monkeypatch.undo()
        store_clear(folder)
        put(*args)

    monkeypatch.setattr(StoreFiles, "_put", put_after_clear)
    store_files.write(MODEL, b"new")
    assert bytes(store_files.read(MODEL)) == b"new"


# --- claims -----------------------------------------------------------------------------------------


def test_only_one_has_the_claim(store_files, folder):
    claim = store_files.claim("ab12")
    assert claim is not None
    assert store_files.claim("ab12") is None
    assert open_store(Store(folder, key=KEY)).claim("ab12") is None
    from_thread = []
    thread = threading.Thread(target=lambda: from_thread.append(store_files.claim("ab12")))
    thread.start()
    thread.join()
    assert from_thread == [None]
    with store_files.claim("ab13") as another:
        assert another is not None
    claim.release()
    with store_files.claim("ab12") as again:
        assert again is not None
        claim.release()  # for the second time: not the new owner's
        assert store_files.claim("ab12") is None
    assert files_in(folder) == []


def test_claim_is_released_from_another_thread_and_after_an_error(store_files):
    claim = store_files.claim("ab12")
    thread = threading.Thread(target=claim.release)
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError, match="in between"), store_files.claim("ab12"):
        raise RuntimeError("in between")
    assert store_files.claim("ab12") is not None


@posix
def test_claim_of_another_process_ends_with_it(store_files, folder):
    code = "claim = store_files().claim('ab12')\nassert claim\nready()\ntime.sleep(60)"
    with other_process(code, folder) as process:
        assert is_ready(process)
        assert store_files.claim("ab12") is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        claim = store_files.claim("ab12")
        assert claim is not None
        claim.release()
    assert files_in(folder) == []


@posix
def test_another_process_sees_our_claim(store_files, folder):
    code = """
print(store_files().claim("ab12"), flush=True)
sys.stdin.readline()
print(type(store_files().claim("ab12")).__name__, flush=True)
"""
    claim = store_files.claim("ab12")
    with other_process(code, folder) as process:
        assert process.stdout.readline() == "None\n"
        claim.release()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "Claim\n"


@posix
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_locks_do_not_work_claims_lock_nothing(store_files, monkeypatch, recwarn, code):
    import fcntl

    def fails(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fails)
    with store_files.claim("ab12") as first, store_files.claim("ab12") as second:
        assert (first is None, second is None) == (False, False)
    assert not recwarn.list


@posix
def test_something_planted_as_a_lock_does_no_harm(store_files, folder, tmp_path):
    locks, victim = folder / "stackkit-1" / "locks", tmp_path / "victim"
    locks.mkdir(parents=True)
    victim.write_text("mine")
    (locks / "ab12.lock").symlink_to(victim)
    (locks / "ab13.lock").mkdir()
    os.mkfifo(locks / "ab14.lock")
    with at_most(5):
        for key in ("ab12", "ab13", "ab14"):
            store_files.claim(key).release()
    assert victim.read_text() == "mine"


def test_locks_are_those_that_die_with_their_owner(store_files, monkeypatch):
    options = []
    real = filelock.FileLock
    monkeypatch.setattr(filelock, "FileLock", lambda *args, **kwargs: options.append(kwargs) or real(*args, **kwargs))
    store_files.claim("ab12").release()
    assert options == [{"timeout": 0, "mode": 0o600, "thread_local": False, "fallback_to_soft": False}]


# --- least recently used ----------------------------------------------------------------------------


def test_least_recently_used_go(folder):
    store_files = open_store(Store(folder, key=KEY, size_limit=3 * 1040))
    names = [f"a{k}-0.model" for k in range(6)]
    for k, name in enumerate(names):
        store_files.write(name, bytes(1000))
        used(folder, name, 100 - k)
    store_files.read(names[1])
    store_files.prune()
    assert [name for name in names if store_files.has(name)] == [names[1], names[4], names[5]]
    store_files.prune()
    assert store_info(folder).n_models == 3


def test_store_just_at_its_limit_loses_nothing(folder):
    for limit, left in ((2 * 1040, 2), (2 * 1040 - 1, 1)):
        store_files = open_store(Store(folder, key=KEY, size_limit=limit))
        for name in ("aa-0.model", "bb-0.table"):
            store_files.write(name, bytes(1000))
        store_files.prune()
        assert store_info(folder).n_tables + store_info(folder).n_models == left


def test_without_a_limit_nothing_goes(store_files, folder):
    some_table(store_files)
    used(folder, TABLE, 10**8)
    store_files.prune()
    assert store_files.has(TABLE)


def test_prune_removes_what_killed_processes_left(store_files, folder):
    some_table(store_files)
    root = folder / "stackkit-1"
    (root / "locks").mkdir()
    held = store_files.claim("ab12")
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
    store_files.prune()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert store_files.claim("ab12") is None
    held.release()
    open_store(Store(folder / "new", key=KEY)).prune()  # nothing there


def test_prune_ignores_what_it_cannot_remove(folder, monkeypatch):
    store_files = open_store(Store(folder, key=KEY, size_limit=1))
    store_files.write("aa-0.model", b"content")
    store_files.write("bb-0.model", b"content")
    used(folder, "aa-0.model", 100)
    unlink = Path.unlink

    def stubborn(path, **kwargs):
        if path.name == "aa-0.model":
            raise PermissionError(errno.EACCES, "not yours")
        unlink(path, **kwargs)

    monkeypatch.setattr(Path, "unlink", stubborn)
    store_files.prune()
    assert (store_files.has("aa-0.model"), store_files.has("bb-0.model")) == (True, False)
    monkeypatch.setattr(os, "scandir", lambda _: (_ for _ in ()).throw(PermissionError(errno.EACCES, "not yours")))
    store_files.prune()


@posix
def test_two_processes_prune_at_once(store_files, folder):
    for k in range(400):
        store_files.write(f"{k % 256:02x}-{k}.table", bytes(60))
        used(folder, f"{k % 256:02x}-{k}.table", 1000 - k)
    code = """
store_files = store_files(size_limit=100 * 50)
ready()
sys.stdin.readline()
store_files.prune()
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
    assert store_files.has(f"{399 % 256:02x}-399.table")


def test_one_thread_at_a_time_reads_the_heads_of_arrays(store_files, monkeypatch):
    """Python 3.11 before 3.11.5 cannot parse in two threads at once, and NumPy reads heads with its parser."""
    store_files.write_arrays(TABLE, {"oof": np.arange(6.0)}, {})
    at_it, most, load = [], [], np.load

    def slow_load(*args, **options):
        at_it.append(None)
        most.append(len(at_it))
        time.sleep(0.02)
        try:
            return load(*args, **options)
        finally:
            at_it.pop()

    monkeypatch.setattr(_shelf.np, "load", slow_load)
    found = []
    readers = [threading.Thread(target=lambda: found.append(store_files.read_arrays(TABLE))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(found) == 4
    assert max(most) == 1
