import gzip
import hashlib
import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stackkit import datasets
from stackkit.datasets import load_titanic

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


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch):
    monkeypatch.delenv("STACKKIT_DATA", raising=False)


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
