"""The examples do what they say.

Those that take longest run at night: what they show of folds, kills, stores and clusters has tests of its own.
"""

import os
import re
import runpy
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
KAGGLE = Path(os.environ.get("STACKKIT_DATA", "nowhere"), "titanic")
needs_kaggle = pytest.mark.skipif(
    not (KAGGLE / "train.csv").exists(), reason="Kaggle's train.csv and test.csv are not in $STACKKIT_DATA/titanic"
)

needs_mnist = pytest.mark.skipif(
    not Path(os.environ.get("STACKKIT_DATA", "nowhere"), "mnist").is_dir(), reason="mnist/ is not in $STACKKIT_DATA"
)

needs_otto = pytest.mark.skipif(
    not Path(os.environ.get("STACKKIT_DATA", "nowhere"), "otto").is_dir(), reason="otto/ is not in $STACKKIT_DATA"
)


def _run(folder, *arguments, example, **variables):
    """In this process, where libraries are loaded and workers wait: that saves a quarter of the time."""
    command = [str(ROOT / "examples" / example), *map(str, arguments)]
    done = SimpleNamespace(returncode=0, stdout=StringIO(), stderr=StringIO())
    with (
        patch.object(sys, "argv", command),
        patch.dict(os.environ, {"MPLBACKEND": "Agg"} | variables),
        chdir(folder),
        redirect_stdout(done.stdout),
        redirect_stderr(done.stderr),
        mpl.rc_context(),
    ):
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            done.returncode = end.code
    done.stdout, done.stderr = done.stdout.getvalue(), done.stderr.getvalue()
    return done


def _run_as_a_program(folder, example):
    environment = os.environ | {"MPLBACKEND": "Agg"}
    command = [sys.executable, str(ROOT / "examples" / example)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


NUMBER = re.compile(r"-?[\d.]+%?")


def as_number(word):
    return float(word.rstrip("%")) / (100 if word.endswith("%") else 1)


@pytest.mark.slow
def test_first_stack_prints_what_the_start_page_shows(tmp_path):
    done = _run_as_a_program(tmp_path, example="00_first_stack.py")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["first_stack.png"]
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf8")
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    tables = [[line.split() for line in text.splitlines() if line] for text in (shown, done.stdout)]
    for told, came in zip(*tables, strict=True):
        numbers = [[as_number(word) for word in line if NUMBER.fullmatch(word)] for line in (told, came)]
        assert [word for word in told if not NUMBER.fullmatch(word)] == [
            word for word in came if not NUMBER.fullmatch(word)
        ]
        np.testing.assert_allclose(numbers[1][:2], numbers[0][:2], atol=0.02)  # other processors round in other ways


def test_titanic_tells_no_passenger_his_own_fate():
    lesson = runpy.run_path(str(ROOT / "examples" / "01_titanic.py"))
    X, y, *_ = lesson["passenger_list"]()
    X = lesson["own_features"](X).reset_index(drop=True)
    told = lesson["TicketParty"]().fit_transform(X, y)
    assert told.loc[told["companions"] > 0, "all_share"].nunique() > 10
    shares = ["all_share", "first_share"]  # of an imagined companion, too, whose chance is that of all
    for row in range(0, 891, 50):
        other = lesson["TicketParty"]().fit_transform(X, np.where(np.arange(891) == row, 1 - y, y))
        pd.testing.assert_series_equal(other.loc[row].drop(shares), told.loc[row].drop(shares))
        pairs = (frame.loc[row, shares].astype(float) for frame in (other, told))
        np.testing.assert_allclose(*pairs, atol=2e-3)


@pytest.mark.slow
def test_titanic_offline(tmp_path):
    done = _run(tmp_path, example="01_titanic.py")
    assert done.returncode == 0, done.stderr
    for shown in ("P1  891 x 1    p1  418 x 1", "P   891 x 7    p   418 x 7", "random_forest", "the stack"):
        assert shown in done.stdout
    stack = re.search(r"the stack +(\d\.\d+) +(\d\.\d+)", done.stdout)
    assert float(stack[2]) > 0.75
    assert [path.name for path in tmp_path.iterdir()] == ["titanic.png"]
    assert (tmp_path / "titanic.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.nightly
@needs_kaggle
def test_titanic_with_kaggles_files(tmp_path):
    done = _run(
        tmp_path,
        "--train",
        KAGGLE / "train.csv",
        "--test",
        KAGGLE / "test.csv",
        "--output",
        "submission.csv",
        example="01_titanic.py",
    )
    assert done.returncode == 0, done.stderr
    submission = pd.read_csv(tmp_path / "submission.csv", dtype=str)
    expected = pd.read_csv(KAGGLE / "test.csv", dtype=str)["PassengerId"]
    assert list(submission.columns) == ["PassengerId", "Survived"]
    assert submission["PassengerId"].tolist() == expected.tolist()
    assert set(submission["Survived"]) == {"0", "1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["submission.csv", "titanic.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "train.csv"], "--train and --test go together"),
        (["--train", "train.csv", "--test", "test.csv"], "No such file or directory: 'train.csv'"),
    ],
)
def test_titanic_says_what_is_wrong(tmp_path, arguments, message):
    done = _run(tmp_path, *arguments, example="01_titanic.py")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@needs_kaggle
def test_titanic_refuses_a_file_without_the_target(tmp_path):
    done = _run(tmp_path, "--train", KAGGLE / "test.csv", "--test", KAGGLE / "test.csv", example="01_titanic.py")
    assert done.returncode == 2
    assert "has no column survived" in done.stderr


# The same code reads scikit-learn's digits or MNIST.
DIGITS = pytest.param("nowhere")
MNIST = pytest.param(os.environ.get("STACKKIT_DATA"), marks=[needs_mnist, pytest.mark.nightly])


@pytest.mark.nightly
@pytest.mark.parametrize("data", [DIGITS, MNIST])
def test_mnist(tmp_path, data):
    done = _run(tmp_path, "--quick", example="08_mnist.py", STACKKIT_DATA=data)
    assert done.returncode == 0, done.stderr
    assert ("MNIST is not here" in done.stdout) == (data == "nowhere")
    table = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {"cnn_strided", "cnn_maxima", "bn_mlp", "knn", "naive_bayes", "random_forest"} < set(table)
    oof_loss, _, loss, accuracy = table["stack"]
    assert float(accuracy.rstrip("%")) > 95
    others = [table[name] for name in ("bn_mlp", "knn", "naive_bayes", "random_forest")]
    assert float(oof_loss) < min(float(other[0]) for other in others)
    assert float(loss) < min(float(other[2]) for other in others)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mnist_confusion.png", "mnist_hardest.png"]


@pytest.mark.slow
@pytest.mark.parametrize("data", [DIGITS, MNIST])
def test_batch_norm(tmp_path, data):
    done = _run(tmp_path, "--quick", example="07_batch_norm.py", STACKKIT_DATA=data)
    assert done.returncode == 0, done.stderr
    assert ("MNIST is not here" in done.stdout) == (data == "nowhere")
    _, seen = done.stdout.split("What was seen:")
    reached = re.search(r"With BN (\d+) of 12 nets got to 80%, without (\d+)", seen)
    assert int(reached[1]) > int(reached[2])
    gradients = [float(ratio) for ratio in re.findall(r"had (\S+) times the gradient", seen)]
    assert gradients[0] > 0.1
    assert gradients[1] < 1e-3
    slow_average, _, population = [float(percent) for percent in re.findall(r"(\S+)% \(", seen)]
    assert slow_average < population
    pictures = sorted(tmp_path.iterdir())
    assert [path.name for path in pictures] == [f"batch_norm_{n}.png" for n in ("inside", "learning", "statistics")]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in pictures)


@pytest.mark.nightly
def test_decision_regions(tmp_path):
    done = _run(tmp_path, "--quick", example="06_decision_regions.py")
    assert done.returncode == 0, done.stderr
    for name in ("knn", "forest", "bayes", "stack"):
        assert re.search(rf"Accuracy: 0\.\d\d \(\+/- 0\.\d\d\) \[{name}\]", done.stdout)
    assert "0.95 (+/- 0.03)" in done.stdout  # the report's
    assert "hold up" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["decision_regions.png"]


@pytest.mark.nightly
def test_your_own_learner(tmp_path):
    done = _run(tmp_path, example="04_your_own_learner.py")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 classes" in done.stdout
    assert float(re.search(r"of any probability: (\S+)", done.stdout)[1]) < 1e-6
    assert "failed in fold 0, predict_proba: ValueError" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_groups_and_time(tmp_path):
    done = _run(tmp_path, "--quick", example="03_groups_and_time.py")
    assert done.returncode == 0, done.stderr
    claims = re.findall(
        r"- ([\w ]+): (\S+) was claimed for the stack, (\S+) is true: it (flatters|does not)", done.stdout
    )
    assert [name for name, *_ in claims] == ["random folds", "whole patients", "random days", "forward in time"]
    for name, claimed, true, way in claims:
        assert (way == "flatters") == (float(claimed) < float(true)), name
    assert [way for *_, way in claims][::2] == ["flatters", "flatters"]
    assert [path.name for path in tmp_path.iterdir()] == ["groups_and_time.png"]


@pytest.mark.nightly
def test_resume_and_add_learners(tmp_path):
    done = _run(tmp_path, example="05_resume_and_add_learners.py")
    assert done.returncode == 0, done.stderr
    assert "equal, bit for bit" in done.stdout
    killed, begun = (int(re.search(rf"{what} (\d+)", done.stdout)[1]) for what in ("after", "started again:"))
    assert 0 < killed < 20
    assert begun < 20
    assert re.search(r"8 final estimators +0 fits", done.stdout)
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_sklearn_pipeline(tmp_path):
    done = _run(tmp_path, example="02_sklearn_pipeline.py")
    assert done.returncode == 0, done.stderr
    for learned in ("predicts the same bits", "random_state: yes", "asked for, and for nobody else", "in 'sex'"):
        assert learned in done.stdout
    assert not list(tmp_path.iterdir())


def check_otto(done, *, digits):
    assert done.returncode == 0, done.stderr
    assert ("So these are scikit-learn's small digits" in done.stdout) == digits
    rows = re.findall(r"^  ([123]) +(\w.*?\w) +(\d+\.\d{4}) +(\d+\.\d{4})", done.stdout, flags=re.MULTILINE)
    names = [[name for found, name, *_ in rows if found == level] for level in "123"]
    assert len(set(names[0])) >= 20
    assert sorted(names[1]) == ["ada_trees", "mlp", "xgb"]
    assert names[2] == ["weighted mean"]
    out_of_fold, new = ({(found, name): float(row[place]) for found, name, *row in rows} for place in (0, 1))
    for losses in (out_of_fold, new):
        gain = min(losses["1", name] for name in names[0]) - losses["3", "weighted mean"]
        assert gain > 0 or digits  # a thousand digits are too few for a second level
    said = re.findall(
        r"^- Level (\d) \((.+), \S+\) (.+) level (\d) \((.+), \S+\): (\S+), .* (\S+)\.$", done.stdout, re.MULTILINE
    )
    assert [(level, below) for level, _, _, below, *_ in said] == [("2", "1"), ("3", "2"), ("3", "1")]
    for level, upper, how, below, lower, gain, error in said:
        assert float(gain) == pytest.approx(new[below, lower] - new[level, upper], abs=2e-4)
        assert new[below, lower] == min(new[below, name] for name in names[int(below) - 1])
        if abs(float(gain)) > 2.1 * float(error):
            assert how == ("beats" if float(gain) > 0 else "does NOT beat")
    assert float(re.search(r"Peak memory of all processes together: (\S+) GB", done.stdout)[1]) < 6


@pytest.mark.nightly
@needs_otto
def test_otto(tmp_path):
    check_otto(_run(tmp_path, "--quick", example="09_otto.py"), digits=False)
    assert [path.name for path in tmp_path.iterdir()] == ["otto.png"]


def test_no_product_is_its_own_neighbour():
    """What is told of a row that was fitted on is what would be told of it, had it not been there."""
    ClassDistances = runpy.run_path(str(ROOT / "examples" / "09_otto.py"))["ClassDistances"]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 3
    X[30] = X[0]  # its twin of the same class is a neighbour like any other
    seen = ClassDistances((1, 4)).fit_transform(X, y)
    for i in range(60):
        others = np.arange(60) != i
        unseen = ClassDistances((1, 4)).fit(X[others], y[others]).transform(X[i : i + 1])
        np.testing.assert_allclose(seen[i], unseen[0], atol=1e-7)
        for label in range(3):
            nearest = np.sort(np.linalg.norm(X[others & (y == label)] - X[i], axis=1))
            np.testing.assert_allclose(unseen[0, 2 * label :][:2], [nearest[0], nearest[:4].mean()], atol=1e-7)


@pytest.mark.nightly
def test_otto_without_its_data_and_again_from_the_store(tmp_path):
    first, second = (
        _run(tmp_path, "--quick", "--memory", "store", example="09_otto.py", STACKKIT_DATA="nowhere") for _ in range(2)
    )
    check_otto(first, digits=True)
    check_otto(second, digits=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["otto.png", "store"]
    assert len(re.findall("in the store, 0 to do", second.stderr)) == 2  # levels that fit learners
    tables = [re.findall(r"^  [123] .*$", done.stdout, flags=re.MULTILINE) for done in (first, second)]
    assert len(tables[0]) > 20
    assert tables[0] == tables[1]


@pytest.mark.nightly
def test_cluster(tmp_path):
    done = _run(tmp_path, example="10_cluster.py")
    assert done.returncode == 0, done.stderr
    assert "was killed at the" in done.stdout
    assert "bit for bit: equal" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_how_sure(tmp_path):
    done = _run(tmp_path, example="11_how_sure.py")
    assert done.returncode == 0, done.stderr
    assert "It warns: The folds of this stack go forward in time" in done.stdout
    shares = {
        way: [float(share) for share in re.findall(r"(\d+\.\d)% in", line)]
        for way, line in re.findall(r"^  (one promise|by group)(.*)$", done.stdout, flags=re.MULTILINE)
    }
    assert shares["one promise"][1] < 75
    assert min(shares["by group"]) > 85
    late = dict(re.findall(r"^  (as they were|adapting).* (\d+)\.\d% of the last", done.stdout, flags=re.MULTILINE))
    assert int(late["as they were"]) < 75
    assert int(late["adapting"]) > 85
    assert "decisions cost less" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["how_sure.png"]


@pytest.mark.nightly
def test_what_matters(tmp_path):
    done = _run(tmp_path, example="12_what_matters.py")
    assert done.returncode == 0, done.stderr
    found, flipped = map(int, re.search(r"(\d+) of the (\d+) labels that were changed are among", done.stdout).groups())
    assert found > 0.6 * flipped
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_blend_files(tmp_path):
    done = _run(tmp_path, example="13_blend_files.py")
    assert done.returncode == 0, done.stderr
    losses = {
        name: float(loss) for name, loss in re.findall(r"^  (\w[\w ]*?) +(\d\.\d{3})$", done.stdout, re.MULTILINE)
    }
    assert losses["the blend"] < losses["mean of all"]
    assert losses["with a leak"] > losses["the blend"] + 0.1
    assert "cannot be excluded" in done.stdout
    assert not list(tmp_path.iterdir())


def test_every_example_is_run_here():
    text = Path(__file__).read_text(encoding="utf8")
    for path in (ROOT / "examples").glob("*.py"):
        assert f'example="{path.name}"' in text, path
