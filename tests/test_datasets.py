import gzip
import hashlib
import os
import re
import shutil
import struct
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from stackkit import datasets
from stackkit.datasets import load_mnist, load_otto, load_titanic

DATA = Path(__file__).parent.parent / "data"
FIXTURE = files("sklearn") / "datasets/tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz"
COLUMNS = [
    "pclass", "survived", "name", "sex", "age", "sibsp", "parch",
    "ticket", "fare", "cabin", "embarked", "boat", "body", "home.dest",
]  # fmt: skip
OUTCOMES = {"survived", "boat", "body"}
FEATURES = [column for column in COLUMNS if column not in OUTCOMES]
MISSING = {
    "age": 263, "fare": 1, "cabin": 1014, "embarked": 2, "boat": 823, "body": 1188, "home.dest": 564,
}  # fmt: skip
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = MNIST = [
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
]  # fmt: skip
OTTO_FEATURES = [f"feat_{i}" for i in range(1, 94)]
REAL_MNIST = os.environ.get("STACKKIT_DATA", "nowhere")
needs_mnist = pytest.mark.skipif(
    not Path(REAL_MNIST, "mnist", f"{TRAIN_IMAGES}.gz").exists(), reason="MNIST is not in $STACKKIT_DATA/mnist"
)

needs_otto = pytest.mark.skipif(
    not Path(REAL_MNIST, "otto", "train.csv.gz").exists(), reason="Otto's file is not in $STACKKIT_DATA/otto"
)


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch):
    monkeypatch.delenv("STACKKIT_DATA", raising=False)


@pytest.fixture(autouse=True)
def fetched(monkeypatch):
    """What was asked of OpenML, which cannot be reached."""
    calls = []

    def unreachable(*args, **kwargs):
        calls.append((args, kwargs))
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "fetch_openml", unreachable)
    return calls


@pytest.fixture
def one_passenger(tmp_path):
    """A folder whose titanic.csv has one passenger, so that it can be told from the real one."""
    row = '3,1,"NA, Mr. None",male,,0,0,007,7.5,null,S,,,nan'
    (tmp_path / "titanic.csv").write_text(",".join(COLUMNS) + "\n" + row + "\n")
    return tmp_path


def test_counts():
    titanic = load_titanic()
    assert titanic.data.shape == (1309, 11)
    assert titanic.frame.shape == (1309, 14)
    assert titanic.target.value_counts().to_dict() == {0: 809, 1: 500}
    assert titanic.frame.isna().sum().to_dict() == dict.fromkeys(COLUMNS, 0) | MISSING


def test_bunch_holds_together():
    titanic = load_titanic()
    assert titanic.feature_names == list(titanic.data.columns) == FEATURES
    assert list(titanic.frame.columns) == COLUMNS
    assert titanic.target.name == "survived"
    assert titanic.target_names == ["died", "survived"]
    assert titanic.data.index.equals(titanic.target.index)
    pd.testing.assert_frame_equal(titanic.frame[FEATURES], titanic.data)
    pd.testing.assert_series_equal(titanic.frame["survived"], titanic.target)


def test_description_tells_the_truth():
    titanic = load_titanic()
    table = re.findall(r"^ +([a-z.]+) +(?:integer|real|text) +(\d+)  ", titanic.DESCR, flags=re.MULTILINE)
    missing = titanic.frame.isna().sum()
    truth = [(column, str(missing[column])) for column in COLUMNS]
    assert table == truth


def test_outcomes_do_not_leak_into_the_features():
    titanic = load_titanic()
    assert not OUTCOMES & set(titanic.data.columns)
    assert set(titanic.frame.columns) >= OUTCOMES
    survived = titanic.frame.groupby(titanic.frame["boat"].notna())["survived"].mean()
    assert survived[True] > 0.95  # why `boat` has to stay out
    assert survived[False] < 0.05


def test_dtypes():
    titanic = load_titanic()
    assert titanic.target.dtype == np.int64
    for column in ("pclass", "sibsp", "parch"):
        assert titanic.frame[column].dtype == np.int64
    for column in ("age", "fare", "body"):
        assert titanic.frame[column].dtype == np.float64
    for column in ("name", "sex", "ticket", "cabin", "embarked", "boat", "home.dest"):
        assert titanic.frame[column].dropna().map(type).eq(str).all()


def test_data_and_target_alone():
    X, y = load_titanic(return_X_y=True)
    titanic = load_titanic()
    pd.testing.assert_frame_equal(X, titanic.data)
    pd.testing.assert_series_equal(y, titanic.target)


def test_a_change_by_the_caller_does_not_reach_the_next_call():
    titanic = load_titanic()
    titanic.data.loc[0, "age"] = -1.0
    titanic.target[0] = 7
    assert load_titanic().data.loc[0, "age"] == 29.0
    assert load_titanic().target[0] == 1


def test_the_parts_of_one_bunch_are_independent():
    titanic = load_titanic()
    titanic.target[0] = 7
    titanic.data.loc[0, "age"] = -1.0
    assert titanic.frame.loc[0, "survived"] == 1
    assert titanic.frame.loc[0, "age"] == 29.0


def test_only_empty_cells_are_missing(one_passenger):
    passenger = load_titanic(data_home=one_passenger).frame.iloc[0]
    assert passenger[["name", "ticket", "cabin", "home.dest"]].tolist() == [
        "NA, Mr. None", "007", "null", "nan",
    ]  # fmt: skip
    assert passenger[["age", "boat", "body"]].isna().all()


@pytest.mark.parametrize("kind", [str, Path])
def test_data_home(one_passenger, kind):
    assert len(load_titanic(data_home=kind(one_passenger)).data) == 1


def test_data_home_may_start_with_a_tilde(one_passenger, monkeypatch):
    monkeypatch.setenv("HOME", str(one_passenger.parent))
    monkeypatch.setenv("USERPROFILE", str(one_passenger.parent))
    assert len(load_titanic(data_home=f"~/{one_passenger.name}").data) == 1


def test_environment_variable(one_passenger, monkeypatch):
    monkeypatch.setenv("STACKKIT_DATA", str(one_passenger))
    assert len(load_titanic().data) == 1


def test_data_home_comes_before_the_environment_variable(one_passenger, monkeypatch):
    monkeypatch.setenv("STACKKIT_DATA", str(one_passenger))
    assert len(load_titanic(data_home=DATA).data) == 1309


def test_environment_variable_without_the_file_falls_back_to_our_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("STACKKIT_DATA", str(tmp_path))
    assert len(load_titanic().data) == 1309


def test_empty_environment_variable_is_not_the_working_folder(one_passenger, monkeypatch):
    monkeypatch.chdir(one_passenger)
    monkeypatch.setenv("STACKKIT_DATA", "")
    assert len(load_titanic().data) == 1309


def test_data_home_without_the_file_does_not_fall_back(tmp_path, one_passenger, monkeypatch):
    monkeypatch.setenv("STACKKIT_DATA", str(one_passenger))
    empty = tmp_path / "empty"
    with pytest.raises(
        FileNotFoundError,
        match=rf"titanic\.csv was not found\. Tried: {re.escape(str(empty / 'titanic.csv'))}\. Put the file",
    ):
        load_titanic(data_home=empty)


def test_error_names_every_place(tmp_path, monkeypatch):
    package = tmp_path / "site" / "stackkit"
    monkeypatch.setattr(datasets, "__file__", str(package / "datasets.py"))
    monkeypatch.setenv("STACKKIT_DATA", str(tmp_path / "mine"))
    places = [tmp_path / "mine", package / "data", package.parent / "data"]
    listed = ", ".join(str(place / "titanic.csv") for place in places)
    with pytest.raises(FileNotFoundError, match=rf"Tried: {re.escape(listed)}\. Put the file in one of"):
        load_titanic()


def test_the_wheels_copy_comes_before_the_checkouts(tmp_path, one_passenger, monkeypatch):
    package = tmp_path / "site" / "stackkit"
    monkeypatch.setattr(datasets, "__file__", str(package / "datasets.py"))
    (package.parent / "data").mkdir(parents=True)
    shutil.copy(DATA / "titanic.csv", package.parent / "data")
    assert len(load_titanic().data) == 1309
    (package / "data").mkdir(parents=True)
    shutil.copy(one_passenger / "titanic.csv", package / "data")
    assert len(load_titanic().data) == 1


def test_file_is_the_one_described():
    content = (DATA / "titanic.csv").read_bytes()
    documented = re.findall(r"`([0-9a-f]{64})`", (DATA / "README.md").read_text(encoding="utf-8"))
    assert documented == [hashlib.sha256(content).hexdigest()]


def test_file_equals_the_fixture_of_scikit_learn():
    if not FIXTURE.is_file():
        pytest.skip("this scikit-learn was installed without its test data")
    arff = gzip.decompress(FIXTURE.read_bytes()).decode("ascii").splitlines()
    records = arff[arff.index("@data") + 1 :]
    # An ARFF field is a quoted text, a bare number, or a bare ? where it is missing.
    fields = [re.findall(r'(?:^|,)(?:"([^"]*)"|([^,"]*))', record) for record in records]
    frame = load_titanic().frame
    assert len(fields) == len(frame)
    for place, column in enumerate(COLUMNS):
        texts, bare = zip(*(record[place] for record in fields), strict=True)
        if pd.api.types.is_numeric_dtype(frame[column]):
            expected = [np.nan if value == "?" else float(value) for value in bare]
            np.testing.assert_array_equal(frame[column].to_numpy(dtype=float), expected)
        else:
            expected = [None if value == "?" else text for text, value in zip(texts, bare, strict=True)]
            assert frame[column].astype(object).where(frame[column].notna(), None).tolist() == expected


def idx(array):
    """The bytes of an IDX file of `array`."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_mnist(folder, *, n_train=5, n_test=3, seed=0, gz=True):
    """Write the four files; return all images and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(n_train + n_test, 28, 28), dtype=np.uint8)
    labels = rng.integers(10, size=n_train + n_test, dtype=np.uint8)
    parts = [images[:n_train], labels[:n_train], images[n_train:], labels[n_train:]]
    for name, part in zip(MNIST, parts, strict=True):
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(part)))
        else:
            (folder / name).write_bytes(idx(part))
    return images, labels


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("subfolder", [".", "mnist"])
def test_mnist_files(tmp_path, gz, subfolder, fetched):
    images, labels = small_mnist(tmp_path / subfolder, gz=gz)
    mnist = load_mnist(data_home=tmp_path)
    np.testing.assert_array_equal(mnist.data, images)
    np.testing.assert_array_equal(mnist.target, labels)
    assert (mnist.data.dtype, mnist.target.dtype) == (np.uint8, np.int64)
    assert (mnist.train, mnist.test) == (slice(0, 5), slice(5, 8))
    assert mnist.target_names == list("0123456789")
    assert not fetched


def test_mnist_data_and_target_alone(tmp_path):
    images, labels = small_mnist(tmp_path)
    X, y = load_mnist(data_home=str(tmp_path), return_X_y=True)
    np.testing.assert_array_equal(X, images)
    np.testing.assert_array_equal(y, labels)


def test_mnist_can_be_changed_by_the_caller(tmp_path):
    images, _ = small_mnist(tmp_path, gz=False)
    mnist = load_mnist(data_home=tmp_path)
    mnist.data[0] = 7
    np.testing.assert_array_equal(load_mnist(data_home=tmp_path).data, images)


def test_mnist_with_some_files_unpacked(tmp_path):
    images, labels = small_mnist(tmp_path)
    packed = tmp_path / f"{TEST_LABELS}.gz"
    (tmp_path / TEST_LABELS).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    mnist = load_mnist(data_home=tmp_path)
    np.testing.assert_array_equal(mnist.data, images)
    np.testing.assert_array_equal(mnist.target, labels)


def test_mnist_places_in_their_order(tmp_path, monkeypatch):
    """Each place has other counts: data_home, STACKKIT_DATA, ./data; in each, first the folder `mnist`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STACKKIT_DATA", str(tmp_path / "named"))

    def n_train(**where):
        return load_mnist(**where).train.stop

    small_mnist(tmp_path / "data", n_train=1)
    assert n_train() == 1
    small_mnist(tmp_path / "data" / "mnist", n_train=2)
    assert n_train() == 2
    small_mnist(tmp_path / "named", n_train=3)
    assert n_train() == 3
    small_mnist(tmp_path / "named" / "mnist", n_train=4)
    assert n_train() == 4
    small_mnist(tmp_path / "given", n_train=5)
    assert n_train(data_home=tmp_path / "given") == 5


def test_mnist_is_never_put_together_from_two_places(tmp_path):
    small_mnist(tmp_path / "mnist", n_train=1)
    small_mnist(tmp_path, n_train=2)
    (tmp_path / "mnist" / f"{TEST_LABELS}.gz").unlink()
    assert load_mnist(data_home=tmp_path).train == slice(0, 2)


def test_mnist_with_data_home_is_not_fetched(tmp_path, fetched, monkeypatch):
    monkeypatch.setenv("STACKKIT_DATA", str(tmp_path / "full"))
    small_mnist(tmp_path / "full")
    empty = tmp_path / "empty"
    tried = re.escape(f"{empty / 'mnist'}, {empty}")
    with pytest.raises(
        FileNotFoundError, match=rf"^MNIST was not found\. Tried: {tried}\. Put the files {', '.join(MNIST)}, unpacked"
    ):
        load_mnist(data_home=empty)
    assert not fetched


def test_mnist_that_cannot_be_fetched(tmp_path, fetched, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STACKKIT_DATA", str(tmp_path / "named"))
    places = [tmp_path / "named/mnist", tmp_path / "named", tmp_path / "data/mnist", tmp_path / "data"]
    with pytest.raises(
        FileNotFoundError,
        match=r"could not be fetched from OpenML \(OSError: no route to host\)\. "
        rf"Tried: {re.escape(', '.join(map(str, places)))}\. "
        rf"Put the files {', '.join(MNIST)}, .* data_home=\.\.\. or the environment variable STACKKIT_DATA\.",
    ) as caught:
        load_mnist()
    assert str(caught.value.__cause__) == "no route to host"
    assert len(fetched) == 1


def test_mnist_fetched(tmp_path, monkeypatch):
    """As scikit-learn gives it: a row of numbers an image, digits as text."""
    asked = []

    def fetch(name, **options):
        asked.append((name, options))
        rows = np.zeros((70_000, 784), dtype=np.int64)
        rows[60_000, 28] = 255
        digits = np.full(70_000, "3", dtype=object)
        digits[60_000] = "9"
        return Bunch(data=rows, target=digits)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    mnist = load_mnist()
    assert asked == [("mnist_784", {"version": 1, "as_frame": False, "parser": "pandas"})]
    assert mnist.data.shape == (70_000, 28, 28)
    assert (mnist.data.dtype, mnist.target.dtype) == (np.uint8, np.int64)
    assert (mnist.train, mnist.test) == (slice(0, 60_000), slice(60_000, 70_000))
    assert mnist.data[mnist.test][0, 1, 0] == 255
    assert mnist.data.sum() == 255
    assert mnist.target[mnist.test][0] == 9
    assert mnist.target.sum() == 69_999 * 3 + 9


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (TRAIN_IMAGES, b"", "must be an IDX file of images, which begins with 00 00 08 03; got an empty file"),
        (TRAIN_IMAGES, b"<html>", "an IDX file of images, which begins with 00 00 08 03; got 3c 68 74 6d"),
        (TRAIN_IMAGES, idx(np.zeros(5, np.uint8)), "of images, which begins with 00 00 08 03; got 00 00 08 01"),
        (TRAIN_LABELS, idx(np.zeros((5, 28, 28), np.uint8)), "of labels, .* with 00 00 08 01; got 00 00 08 03"),
        (TEST_IMAGES, bytes([0, 0, 8, 3, 0]), "must have a header of 16 bytes; got 5 bytes"),
        (TEST_IMAGES, idx(np.zeros((3, 20, 24), np.uint8)), "must hold images of 28 x 28 pixels; got 20 x 24"),
        (TEST_IMAGES, idx(np.zeros((3, 28, 28), np.uint8))[:-1], "3 x 28 x 28 bytes after .* got 2351 of 2352"),
        (TEST_LABELS, idx(np.zeros(3, np.uint8)) + b"0", "must hold 3 bytes after its header, .* got 4 of 3"),
        (TEST_LABELS, idx(np.array([1, 10, 2], np.uint8)), "must hold labels from 0 to 9; got 10"),
        (TEST_LABELS, gzip.compress(idx(np.zeros(3, np.uint8)))[:-9], "cannot be unpacked: .* Download it again"),
        (TEST_LABELS, gzip.compress(b"0" * 99)[:-5] + b"xxxxx", "cannot be unpacked: .* Download it again"),
    ],
    ids=["empty", "foreign", "labels", "images", "header", "pixels", "short", "long", "letters", "cut", "damaged"],
)  # fmt: skip
@pytest.mark.parametrize("gz", [True, False])
def test_mnist_damaged(tmp_path, name, content, problem, gz):
    """What a file holds counts, not whether its name ends in .gz."""
    small_mnist(tmp_path, gz=gz)
    path = tmp_path / (f"{name}.gz" if gz else name)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} .*{problem}"):
        load_mnist(data_home=tmp_path)


def test_mnist_whose_images_and_labels_differ_in_number(tmp_path):
    small_mnist(tmp_path)
    images, labels = tmp_path / f"{TEST_IMAGES}.gz", tmp_path / TEST_LABELS
    labels.write_bytes(idx(np.zeros(4, np.uint8)))
    both = re.escape(f"{images} and {labels}")
    with pytest.raises(ValueError, match=f"^{both} must hold as many images as labels; got 3 and 4"):
        load_mnist(data_home=tmp_path)


@needs_mnist
def test_mnist_is_the_one_described(monkeypatch):
    monkeypatch.setenv("STACKKIT_DATA", REAL_MNIST)
    mnist = load_mnist()
    assert mnist.data.shape == (70_000, 28, 28)
    assert (mnist.train, mnist.test) == (slice(0, 60_000), slice(60_000, 70_000))
    train = np.bincount(mnist.target[mnist.train]).tolist()
    test = np.bincount(mnist.target[mnist.test]).tolist()
    assert train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.data[mnist.train].mean() == pytest.approx(33.318, abs=5e-4)
    table = re.findall(r"^ +(\d) +(\d+) +(\d+)$", mnist.DESCR, flags=re.MULTILINE)
    assert table == [(str(digit), str(train[digit]), str(test[digit])) for digit in range(10)]


def small_otto(folder, *, n_rows=6, gz=True):
    """Write the file; return its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = np.random.default_rng(n_rows).integers(9, size=(n_rows, 93))
    frame = pd.DataFrame(counts, columns=OTTO_FEATURES)
    frame.insert(0, "id", range(1, n_rows + 1))
    frame["target"] = [f"Class_{1 + i % 9}" for i in range(n_rows)]
    frame.to_csv(folder / ("train.csv.gz" if gz else "train.csv"), index=False)
    return frame


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("subfolder", [".", "otto"])
def test_otto_file(tmp_path, gz, subfolder):
    frame = small_otto(tmp_path / subfolder, gz=gz)
    otto = load_otto(data_home=tmp_path)
    pd.testing.assert_frame_equal(otto.data, frame[OTTO_FEATURES])
    assert otto.target.tolist() == frame["target"].tolist()
    assert otto.target.name == "target"
    assert list(otto.frame.columns) == ["id", *OTTO_FEATURES, "target"]
    assert otto.feature_names == OTTO_FEATURES
    assert otto.target_names == [f"Class_{i}" for i in range(1, 10)]


def test_otto_data_and_target_alone(tmp_path):
    small_otto(tmp_path)
    otto = load_otto(data_home=tmp_path)
    X, y = load_otto(data_home=str(tmp_path), return_X_y=True)
    pd.testing.assert_frame_equal(X, otto.data)
    pd.testing.assert_series_equal(y, otto.target)


def test_the_parts_of_ottos_bunch_are_independent(tmp_path):
    frame = small_otto(tmp_path)
    otto = load_otto(data_home=tmp_path)
    otto.data.loc[0, "feat_1"] = -1
    otto.target[0] = "Class_9"
    assert otto.frame.loc[0, "feat_1"] == frame.loc[0, "feat_1"]
    assert otto.frame.loc[0, "target"] == "Class_1"


def test_otto_places_in_their_order(tmp_path, monkeypatch):
    """A train.csv outside of a folder `otto` may be of anything: only the caller can say that it is Otto's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STACKKIT_DATA", str(tmp_path / "named"))

    def n_rows(**where):
        return len(load_otto(**where).data)

    small_otto(tmp_path / "data" / "otto", n_rows=1)
    assert n_rows() == 1
    small_otto(tmp_path / "named", n_rows=2)
    assert n_rows() == 1
    small_otto(tmp_path / "named" / "otto", n_rows=3)
    assert n_rows() == 3
    small_otto(tmp_path / "given", n_rows=4)
    assert n_rows(data_home=tmp_path / "given") == 4
    small_otto(tmp_path / "given" / "otto", n_rows=5)
    assert n_rows(data_home=tmp_path / "given") == 5


def test_otto_that_is_missing(tmp_path, monkeypatch, fetched):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STACKKIT_DATA", str(tmp_path / "named"))
    places = [tmp_path / "named/otto/train.csv", tmp_path / "data/otto/train.csv"]
    with pytest.raises(
        FileNotFoundError,
        match=rf"^Otto's training file was not found\. Tried: {re.escape(', '.join(map(str, places)))}\. "
        r"Put the file train\.csv, .* from https://www\.kaggle\.com/\S+ \(Kaggle wants an account, .*\) in one of .* "
        r"data_home=\.\.\. or the environment variable STACKKIT_DATA\.$",
    ):
        load_otto()
    small_otto(tmp_path / "named" / "otto")
    tried = ", ".join(str(tmp_path / "empty" / place) for place in ("otto/train.csv", "train.csv"))
    with pytest.raises(FileNotFoundError, match=rf"Tried: {re.escape(tried)}\. "):
        load_otto(data_home=tmp_path / "empty")
    assert not fetched


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda frame: frame.drop(columns="target"), "got 94 columns, without target. It is not Otto's"),
        (lambda frame: frame[["target", "id", *OTTO_FEATURES]], "in this order; got 95 columns. It is not Otto's"),
        (lambda frame: frame.assign(target="Class_10"), "the targets Class_1 to Class_9; got 'Class_10' in row 0"),
        (lambda frame: frame.assign(target=None), "the targets Class_1 to Class_9; got nan in row 0"),
        (lambda frame: frame.assign(feat_7="many"), "cannot be read: .*many.*. Download it again"),
        (lambda frame: frame.assign(feat_7=None), "cannot be read: .* NA values in column .*. Download it again"),
    ],
    ids=["no target", "order", "class", "no class", "text", "gap"],
)
def test_otto_that_is_something_else(tmp_path, change, problem):
    change(small_otto(tmp_path)).to_csv(tmp_path / "train.csv.gz", index=False)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path / 'train.csv.gz'))} .*{problem}"):
        load_otto(data_home=tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", gzip.compress(b"id,feat_1\n" * 9)[:-9]], ids=["empty", "html", "cut"]
)
def test_otto_damaged(tmp_path, content):
    (tmp_path / "train.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"^.*train\.csv\.gz cannot be read: .*\. Download it again\.$"):
        load_otto(data_home=tmp_path)


@needs_otto
def test_otto_is_the_one_described(monkeypatch):
    monkeypatch.setenv("STACKKIT_DATA", REAL_MNIST)
    otto = load_otto()
    assert otto.data.shape == (61_878, 93)
    assert (otto.data.dtypes == np.int64).all()
    assert otto.data.to_numpy().sum() == 3_598_839
    counts = otto.target.value_counts(sort=False)
    assert re.findall(r"^ +(Class_\d) +(\d+)$", otto.DESCR, flags=re.MULTILINE) == [
        (name, str(count)) for name, count in counts.items()
    ]
    assert counts.sum() == 61_878
    assert otto.target.is_monotonic_increasing  # why `id` has to stay out
    assert otto.frame["id"].is_monotonic_increasing
    assert "id" not in otto.data
