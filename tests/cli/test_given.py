"""`stackkit blend`: predictions of others, in files, from reading to submission."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from stackkit import OutOfFold, StackingModel
from stackkit.cli.commands import main
from stackkit.cli.form import _repeated
from stackkit.cli.given import learner_names


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(main, ["blend", *map(str, arguments)])

    return run


N, M = 60, 12
ROWS = pd.DataFrame({"id": [f"{k:03}" for k in range(N)], "y": np.where(np.arange(N) % 2, "yes", "no")})
FOLDS = np.arange(N) % 3
NEW = [f"n{k}" for k in range(M)]


def _predictions(seed, of=ROWS["y"] == "yes"):
    rng = np.random.default_rng(seed)
    return np.clip(0.5 + 0.2 * (2 * np.asarray(of) - 1) + rng.normal(0, 0.15, len(of)), 0.01, 0.99).round(4)


P = {"a": _predictions(0), "b": _predictions(1)}
Q = {name: _predictions(seed, np.arange(M) % 2 == 1) for name, seed in (("a", 2), ("b", 3))}


@pytest.fixture
def files(tmp_path):
    """Of b: the rows in another order, one column per class, semicolons and decimal commas."""
    ROWS.assign(p=P["a"], part=FOLDS).to_csv(tmp_path / "oof_a.csv", index=False)
    b = pd.DataFrame({"yes": P["b"], "id": ROWS["id"], "no": (1 - P["b"]).round(4)})
    b.sample(frac=1, random_state=0).to_csv(tmp_path / "oof_b.csv", index=False, sep=";", decimal=",")
    pd.DataFrame({"id": NEW, "y": Q["a"]}).to_csv(tmp_path / "test_a.csv", index=False)
    pd.DataFrame({"id": NEW, "no": 1 - Q["b"], "yes": Q["b"]})[::-1].to_csv(tmp_path / "test_b.csv", index=False)
    return tmp_path


BLEND = ("oof_a.csv", "oof_b.csv", "--target", "y", "--id", "id")


def _error(done):
    assert done.exit_code == 2, done.output
    line = done.stderr.splitlines()[-1]
    assert line.startswith("stackkit: error: ")
    return line.removeprefix("stackkit: error: ")


def test_from_files_to_a_submission(run, files):
    wanted = ("--test", "test_a.csv", "test_b.csv", "--output", "out.csv", "--probabilities", "yes")
    done = run(*BLEND, "--folds", "part", *wanted, "--report", "page.html")
    assert done.exit_code == 0, done.output
    oof = OutOfFold.from_frames(P, ROWS["y"].to_numpy(), Q, folds=FOLDS)
    model = StackingModel.from_oof(oof)
    written = pd.read_csv(files / "out.csv")
    assert written["id"].tolist() == NEW
    np.testing.assert_allclose(written["y"], model.predict_proba(oof.test_frame())[:, 1], atol=1e-9)
    for shown in ("Scores over 3 folds", "Every blend", "ensemble_selection", "How alike", "3 outer folds", "tacking"):
        assert shown in done.stdout
    assert "taken on trust" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    page = (files / "page.html").read_text(encoding="utf8")
    assert "taken on trust" in page
    for absent in ("Run time and size", "Leakage suspects", "rows that the learners did not see", "FrozenEstimator"):
        assert absent not in page
    assert "shuffled among rows" in page  # the importance of learners
    assert "stackkit blend oof_a.csv" in page


@pytest.mark.usefixtures("files")
def test_json_has_all_of_it(run):
    done = run(*BLEND, "--drop", "part", "--json", "--metric", "roc_auc", "--final", "convex", "--quiet")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["leaderboard"][0]["learner"] == "stack"
    assert {row["blend"] for row in told["blends"]} == {"log_pool", "convex", "ensemble_selection", "logistic"}
    assert told["metric"] == "roc_auc"
    assert "cannot be excluded" in told["caveat"]
    assert told["folds"] == 5
    convex = next(row for row in told["blends"] if row["blend"] == "convex")
    assert convex["log_loss"] == pytest.approx(told["leaderboard"][0]["log_loss"])
    assert not done.stderr


@pytest.mark.usefixtures("files")
def test_targets_in_a_file_of_their_own(run):
    """A submission's column has the target's name; rows without a prediction are left out, as are those unlabelled."""
    ROWS.assign(y=ROWS["y"].where(ROWS.index > 3, "")).to_csv("train.csv", index=False)
    for name in P:
        pd.DataFrame({"id": ROWS["id"], "y": P[name]})[:50].to_csv(f"oof_{name}.csv", index=False)
    done = run(*BLEND, "--train", "train.csv", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 46
    assert "train.csv: 10 row(s) without a prediction are left out" in done.stderr
    assert "train.csv: 4 row(s) without a target are left out" in done.stderr


def test_numbers_without_ids(run):
    y = np.random.default_rng(0).normal(size=N)
    for k in range(2):
        pd.DataFrame({"y": y, "p": y + np.random.default_rng(k + 1).normal(size=N)}).to_csv(f"oof_{k}.csv", index=False)
    done = run("oof_0.csv", "oof_1.csv", "--target", "y")
    assert done.exit_code == 0, done.output
    assert "rmse" in done.stdout
    assert "ridge_pool" in done.stdout


def _swap(old, new):
    return lambda text: text.replace(old, new)


def _cut(n_lines):
    return lambda text: "\n".join(text.split("\n")[:n_lines])


def _of_001(text):
    """In place of the prediction of the second row of oof_a.csv."""
    return "oof_a.csv", _swap(f"yes,{P['a'][1]}", f"yes,{text}")


BOTH_NEW = ("--test", "test_a.csv", "test_b.csv", "--output", "o.csv")


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ((), ("--id", "idd"), "oof_a.csv, line 1: no column 'idd', which --id names; did you mean 'id'?"),
        ((), ("--target", "z"), "no column 'z', which --target names"),
        ((), ("--folds", "z"), "no column 'z' here or in another file, which --folds names"),
        (("oof_b.csv", lambda t: t + "0,5;999;0,5\n"), (), "oof_b.csv, line 62: the ID '999' is not in oof_a.csv"),
        (("oof_b.csv", _cut(50)), (), "oof_b.csv: lacks 11 row(s) that others have"),
        (_of_001(""), (), "oof_a.csv, line 3: the prediction 'p' is empty"),
        (_of_001("7.5"), (), "oof_a.csv, line 3: 'p' is 7.5, and a probability is from 0 to 1; 1 row(s)"),
        (_of_001("cat"), (), "oof_a.csv, line 3: the prediction 'p' holds 'cat'"),
        (("oof_a.csv", _swap("001,yes", "000,yes")), (), "line 3: the ID 'id' is '000' again"),
        (("oof_a.csv", _swap("part", "other")), (), "there are 'p', 'other'. Name the ID with --id"),
        (("oof_b.csv", _swap("yes;id;no", "yes;id;y")), (), "the target 'y' is '0,"),
        ((), ("--test", "test_a.csv", "--output", "o.csv"), "--test takes a file for each of the others"),
        (("test_b.csv", _cut(8)), BOTH_NEW, "test_b.csv: lacks 5 row(s) of test_a.csv"),
        ((), ("oof_a.csv",), "would all be the learner 'a'"),
        ((), ("--output", "o.csv"), "--test and --output go together"),
        ((), ("--final", "ridge"), "no final estimator 'ridge' for classification"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(run, files, change, more, message):
    if change:
        path = files / change[0]
        path.write_text(change[1](path.read_text()))
    folds = () if "--folds" in more or "other" in message else ("--folds", "part")
    assert message in _error(run(*BLEND, *folds, *more))
    assert not list(files.glob("o.csv"))


def test_probabilities_that_do_not_sum_to_one(run, files):
    text = (files / "oof_b.csv").read_text().split("\n")
    text[4] = f"0,9;{text[4].split(';')[1]};0,3"
    (files / "oof_b.csv").write_text("\n".join(text))
    error = _error(run(*BLEND, "--drop", "part"))
    assert "oof_b.csv, line 5: the probabilities sum to 1.2, not to 1; 1 row(s) are off" in error


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["oof_xgb.csv", "oof_nn_2.csv.gz"], ["xgb", "nn_2"]),
        (["xgb-oof.parquet", "Test_Preds_nn.v2.csv"], ["xgb", "nn_v2"]),
        (["xgb/oof.csv", "nn/test.csv"], ["xgb", "nn"]),
        (["x/oof_m.csv", "y/oof_m.csv"], ["x_m", "y_m"]),
        (["oof.csv"], ["oof"]),
    ],
)
def test_learners_have_names_of_their_files(paths, names):
    assert list(learner_names(list(map(Path, paths)))) == names


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a b --test c d --id x", "a b --test c --test d --id x"),
        ("--test c d", "--test c --test d"),
        ("--test c --quiet d", "--test c --quiet d"),
        ("--test=c d", "--test=c d"),
        ("--test - c", "--test - --test c"),
    ],
)
def test_an_option_of_several_files(given, read):
    assert _repeated("--test", given.split()) == read.split()
