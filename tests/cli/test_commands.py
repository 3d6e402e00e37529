"""The command `stackkit`, used as its users do: files in, files and lines out."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_diabetes, load_iris

import stackkit
from stackkit.cli.commands import main
from stackkit.evaluation import nested_scores
from stackkit.exceptions import LearnerFailedError

QUICK = ("--learners", "logistic,naive_bayes")
KAGGLE = Path(os.environ.get("STACKKIT_DATA", "nowhere"), "titanic")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command in an empty folder, where it finds what a test writes."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


def _passengers(n=90, seed=0):
    """A table of all kinds of columns; x tells most of the class."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "id": [f"{i:03}" for i in range(n)],
            "x": x.round(6),
            "gap": np.where(rng.random(n) < 0.2, "", rng.integers(0, 9, n).astype(str)),
            "port": rng.choice(["Cherbourg", "Queens, town", ""], n),
            "born": pd.Timestamp("1900-01-01") + pd.to_timedelta(rng.integers(0, 5000, n), unit="D"),
        }
    )
    return frame.assign(y=np.where(x + rng.normal(size=n) > 0, "yes", "no"))


@pytest.fixture
def files(tmp_path):
    _passengers().to_csv(tmp_path / "train.csv", index=False)
    _passengers(30, seed=1).drop(columns="y").to_csv(tmp_path / "test.csv", index=False)
    return tmp_path


FIT = ("fit", "train.csv", "--target", "y", "--id", "id", *QUICK)
TEST = ("--test", "test.csv", "--output", "out.csv")


def _only_line(done, code=2):
    """What every failure has in common."""
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("stackkit: error: ")] == lines[-1:], done.stderr
    assert "Traceback" not in done.stderr
    assert all(lines), done.stderr  # click has an empty line for Ctrl-C
    return lines[-1]


# --- from file to predictions ----------------------------------------------------------------------------------------


def test_fit_writes_what_was_asked_for(run, files):
    done = run(*FIT, *TEST)
    assert done.exit_code == 0, done.stderr
    out = pd.read_csv(files / "out.csv", dtype=str, keep_default_na=False)
    assert list(out.columns) == ["id", "y"]
    assert out["id"].tolist() == [f"{i:03}" for i in range(30)]
    assert set(out["y"]) == {"no", "yes"}  # whether they are right: see the test by hand
    assert "classification: 2 classes, no (" in done.stderr
    assert "features: 4 (date 1, number 2, text 1)" in done.stderr
    assert "logistic" in done.stdout
    assert sorted(path.name for path in files.iterdir()) == ["out.csv", "test.csv", "train.csv"]


def test_the_same_as_by_hand(run, files):
    assert run(*FIT, *TEST, "--probabilities").exit_code == 0
    out = pd.read_csv(files / "out.csv")
    train, test = (pd.read_csv(files / name, parse_dates=["born"]) for name in ("train.csv", "test.csv"))
    from sklearn.model_selection import StratifiedKFold

    features = ["x", "gap", "port", "born"]
    learners = [
        pair
        for pair in stackkit.default_learners("classification", preset="best")
        if pair[0] in ("logistic", "naive_bayes")
    ]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = stackkit.StackingModel(learners, cv=folds, random_state=0).fit(train[features], train["y"])
    assert list(out.columns) == ["id", "no", "yes"]
    np.testing.assert_allclose(out[["no", "yes"]], model.predict_proba(test[features]), rtol=1e-9)


def test_a_kept_model_predicts_the_same(run, files):
    assert run(*FIT, *TEST, "--model", "kept.model").exit_code == 0
    _passengers(30, seed=1).to_csv(files / "new.csv", index=False)  # with the target
    done = run("predict", "kept.model", "new.csv", "--output", "again.csv")
    assert done.exit_code == 0, done.stderr
    assert (files / "again.csv").read_text() == (files / "out.csv").read_text()
    assert "new.csv: ignored: 'y'" in done.stderr
    shown = run("info", "kept.model").stdout
    assert "learners    logistic, naive_bayes" in shown
    assert "trained on  90 rows in 5 folds" in shown
    assert "columns     4 (1 date, 2 number, 1 text): x, gap, port, born" in shown
    assert "predicts    y (2 classes: no, yes)" in shown
    assert "\nstack " in shown
    assert "log_loss: lower is better; accuracy: higher is better" in shown
    assert max(map(len, shown.splitlines())) <= 80
    facts = json.loads(run("info", "kept.model", "--json").stdout)
    assert facts["learners"] == ["logistic", "naive_bayes"]
    assert {row["learner"] for row in facts["leaderboard"]} == {"stack", "logistic", "naive_bayes"}


def test_predict_tells_what_the_training_rows_did_not_have(run, files):
    assert run(*FIT, "--model", "kept.model").exit_code == 0
    new = _passengers(30, seed=1).assign(x="", port=["Belfast"] * 4 + ["Cherbourg"] * 26)
    new.to_csv(files / "new.csv", index=False)
    done = run("predict", "kept.model", "new.csv", "--output", "again.csv")
    assert done.exit_code == 0, done.stderr
    assert "the column 'port' has 1 value(s) in 4 new row(s) that no training row had: 'Belfast'" in done.stderr
    assert done.stderr.count("the column 'x' has no value in 30 rows. These count as missing") == 1
    quiet = run("predict", "kept.model", "new.csv", "--output", "quiet.csv", "--quiet")
    assert quiet.stderr == ""
    assert (files / "quiet.csv").read_text() == (files / "again.csv").read_text()


def test_labels_and_ids_come_back_as_they_are_spelled(run, files):
    labels, ids = ["007", "7", "NA", "None", " x"], ["NA", "None", " x", "1.0", "1"]
    rows = [f"{i},{label},{k * 10 + i % 3}" for k, label in enumerate(labels) for i in range(k * 10, k * 10 + 10)]
    (files / "train.csv").write_text("\n".join(["id,y,x", *rows]))
    (files / "test.csv").write_text("\n".join(["x,id", *(f"{k * 10},{name}" for k, name in enumerate(ids))]))
    done = run(*FIT, *TEST)
    assert done.exit_code == 0, done.stderr
    assert (files / "out.csv").read_text() == "id,y\nNA,007\nNone,7\n x,NA\n1.0,None\n1, x\n"


def test_without_an_id_there_is_one_column(run, files):
    X, y = load_iris(return_X_y=True, as_frame=True)
    X.assign(species=y).to_csv(files / "train.csv", index=False)
    X.iloc[::-10, ::-1].to_csv(files / "test.csv", index=False)  # columns in another order
    done = run("fit", "train.csv", "--target", "species", *QUICK, *TEST)
    assert done.exit_code == 0, done.stderr
    out = pd.read_csv(files / "out.csv")
    assert list(out.columns) == ["species"]
    assert (out["species"].to_numpy() == y.iloc[::-10]).mean() > 0.8


def test_numbers_are_predicted_as_numbers(run, files):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    X.assign(progress=y).to_csv(files / "train.csv", index=False)
    X.head(20).to_csv(files / "test.csv", index=False)
    done = run("fit", "train.csv", "--target", "progress", "--learners", "ridge,knn", "--final", "ridge", *TEST)
    assert done.exit_code == 0, done.stderr
    assert "regression: 442 rows, progress from 25 to 346" in done.stderr
    assert np.corrcoef(pd.read_csv(files / "out.csv")["progress"], y.head(20))[0, 1] > 0.4


@pytest.mark.parametrize("suffix", [".csv.gz", ".parquet"])
def test_files_of_other_kinds_give_the_same(run, files, suffix):
    for name in ("train", "test"):
        frame = pd.read_csv(files / f"{name}.csv", dtype=str, keep_default_na=False)
        if suffix == ".parquet":
            frame = pl.DataFrame({key: frame[key].to_list() for key in frame})
            numbers = frame.with_columns(pl.col("x").cast(float), pl.col("gap").replace("", None).cast(pl.Int64))
            numbers.with_columns(pl.col("born").str.to_date()).write_parquet(files / f"{name}.parquet")
        else:
            frame.to_csv(files / f"{name}{suffix}", index=False)
    assert run(*FIT, *TEST).exit_code == 0
    done = run("fit", f"train{suffix}", *FIT[2:], "--test", f"test{suffix}", "--output", f"out{suffix}")
    assert done.exit_code == 0, done.stderr
    new = (
        pl.read_parquet(files / "out.parquet") if suffix == ".parquet" else pd.read_csv(files / "out.csv.gz", dtype=str)
    )
    old = pd.read_csv(files / "out.csv", dtype=str)
    assert {name: list(new[name]) for name in new.columns} == old.to_dict("list")


# --- what is printed -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
def test_json_is_one_document(run):
    done = run(*FIT, *TEST, "--json", "--model", "kept.model")
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["task"] == "classification"
    assert document["classes"] == ["no", "yes"]
    assert document["folds"] == 5
    assert document["files"] == {"output": "out.csv", "model": "kept.model"}
    assert {row["learner"] for row in document["leaderboard"]} == {"stack", "logistic", "naive_bayes"}
    losses = [row["log_loss"] for row in document["leaderboard"]]
    assert document["leaderboard"][0]["learner"] == "stack"
    assert losses[1:] == sorted(losses[1:])
    assert document["better"] == {"log_loss": "lower", "accuracy": "higher"}
    assert "verdict" not in document


@pytest.mark.usefixtures("files")
def test_quiet_is_quiet(run):
    done = run(*FIT, "--quiet")
    assert done.stderr == ""
    assert "naive_bayes" in done.stdout


@pytest.mark.usefixtures("files")
def test_no_colours_where_nobody_sees_them(run):
    assert "\x1b" not in run(*FIT).output
    assert "\x1b" not in run("fit", "--help").output


@pytest.mark.usefixtures("files")
def test_the_board_is_ranked_by_the_metric(run):
    rows = json.loads(run(*FIT, "--json", "--metric", "f1").stdout)["leaderboard"]
    scores = [row["f1"] for row in rows]
    assert rows[0]["learner"] == "stack"
    assert scores[1:] == sorted(scores[1:], reverse=True)
    assert all(0.3 < score < 1 for score in scores)


@pytest.mark.usefixtures("files")
def test_compare_says_what_nested_scores_says(run):
    done = run("compare", *FIT[1:], "--outer", "3", "--metric", "f1", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["learner"] for row in document["table"]] == [
        "stack",
        "best learner",
        "plain mean",
        "logistic",
        "naive_bayes",
    ]
    assert [row["learner"] for row in document["differences"]] == [row["learner"] for row in document["table"][1:]]
    assert (document["metric"], document["scoring"], document["greater_is_better"]) == ("f1", "f1", True)
    assert document["outcome"] in {"helps", "does not help", "cannot be told"}
    assert set(document["chosen"]) <= {"logistic", "naive_bayes"}
    assert len(document["chosen"]) == 3
    text = run("compare", *FIT[1:], "--outer", "3", "--metric", "f1").stdout
    assert document["verdict"] in " ".join(text.split())
    assert "f1 on 3 outer folds, higher is better:" in text
    assert max(map(len, text.splitlines())) <= 80
    assert f"{document['table'][0]['score']:.4g}" in text


def test_the_report_has_the_verdict(run, files):
    done = run(*FIT, *TEST, "--verdict", "--report", "page.html", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["files"] == {"output": "out.csv", "report": "page.html"}
    page = html.unescape((files / "page.html").read_text())
    assert document["verdict"] in page
    assert "port" in page
    assert f"<pre>stackkit {' '.join((*FIT, *TEST))} --verdict --report page.html --json</pre>" in page
    assert {row["learner"] for row in document["leaderboard"] if row["outer"] is not None} == {
        "stack",
        "logistic",
        "naive_bayes",
    }
    assert sorted(path.name for path in files.iterdir()) == ["out.csv", "page.html", "test.csv", "train.csv"]


@pytest.mark.usefixtures("files")
def test_the_verdict_is_that_of_nested_scores(run, monkeypatch):
    seen = {}

    def spy(model, X, y, **settings):
        seen["scores"] = nested_scores(model, X, y, **settings)
        seen["folds"] = settings["cv"].get_n_splits()
        return seen["scores"]

    monkeypatch.setattr("stackkit.evaluation.nested_scores", spy)
    done = run(*FIT, "--verdict")
    assert seen["scores"].verdict() in " ".join(done.stdout.split())
    assert seen["folds"] == 5


def test_warnings_are_lines(run, files):
    rare = _passengers().sort_values("born")
    rare["y"] = ["late" if i > 80 else label for i, label in enumerate(rare["y"])]
    rare.to_csv(files / "train.csv", index=False)
    done = run(*FIT, "--time-order", "born", "--cv", "3")
    assert done.exit_code == 0, done.stderr
    warned = [line for line in done.stderr.splitlines() if "arning" in line]
    assert warned
    assert all(line.startswith("stackkit: warning: ") and ".py" not in line for line in warned)


# --- the verdict comes last ------------------------------------------------------------------------------------------

WANTED = (*TEST, "--model", "kept.model", "--report", "page.html")
WRITTEN = ["kept.model", "out.csv", "page.html", "test.csv", "train.csv"]
ENDS = [
    (LearnerFailedError("knn failed\n in fold 2."), 1, "knn failed in fold 2"),
    (OSError(28, "No space left on device"), 1, "No space left on device"),
    (MemoryError(), 1, "out of memory"),
    (ValueError("y is odd."), 2, "y is odd"),
    (KeyboardInterrupt(), 130, "interrupted"),
]


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("empty_pictures")
@pytest.mark.parametrize(("error", "code", "cause"), ENDS[::2])  # all of them below, where nothing is written
def test_without_a_verdict_the_finished_fit_stays(run, files, monkeypatch, error, code, cause):  # noqa: PLR0917
    def fails(*_args, **_params):
        assert _names(files) == WRITTEN  # before it begins
        raise error

    monkeypatch.setattr("stackkit.evaluation.nested_scores", fails)
    done = run(*FIT, *WANTED, "--verdict")
    assert done.exit_code == code
    assert _names(files) == WRITTEN
    assert len(pd.read_csv(files / "out.csv")) == 30
    assert "Not evaluated." in (files / "page.html").read_text()
    assert "naive_bayes" in done.stdout
    go_on = "what was not finished is lost: with --memory DIR, the same command would go on from there; " * (
        code == 130
    )
    assert "output: out.csv, 30 rows\nmodel: kept.model\nreport: page.html\n" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        f"stackkit: error: {cause}; the fit is finished and its scores are printed, only the verdict is missing; "
        f"{go_on}written: out.csv, kept.model, page.html"
    )
    assert run("predict", "kept.model", "test.csv", "--output", "again.csv").exit_code == 0


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("error", "code", "cause"), ENDS)
def test_without_a_verdict_json_is_one_document_all_the_same(run, monkeypatch, error, code, cause):
    def fails(*_args, **_params):
        raise error

    monkeypatch.setattr("stackkit.evaluation.nested_scores", fails)
    done = run(*FIT, *TEST, "--verdict", "--json")
    assert done.exit_code == code
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["verdict"] is None
    assert " ".join(document["verdict_error"].split()).rstrip(".") == cause
    assert document["files"] == {"output": "out.csv"}
    assert {row["learner"] for row in document["leaderboard"]} == {"stack", "logistic", "naive_bayes"}
    assert done.stderr.splitlines()[-1].startswith(f"stackkit: error: {cause}; the fit is finished")


@pytest.mark.usefixtures("files")
def test_what_is_printed_before_the_verdict_and_after(run, monkeypatch):
    done = run(*FIT, "--verdict")
    assert done.exit_code == 0, done.stderr
    scores, verdict = done.stdout.split("What the stack itself is worth: the verdict, which follows.\n\n")
    assert scores.startswith("Out-of-fold scores, over 5 folds, with 95 % intervals:")
    assert scores.splitlines()[3].startswith("stack ")
    assert "Slightly optimistic" in " ".join(scores.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert verdict.startswith("log_loss on 5 outer folds, lower is better")
    assert [line.split("  ")[0] for line in verdict.splitlines()[2:8]] == [
        *("learner", "stack", "best learner", "plain mean", "logistic", "naive_bayes"),
    ]
    assert verdict.split("\n\n")[-1].startswith(("Stacking ", "Whether stacking helps"))

    def fails(*_args, **_params):
        raise KeyboardInterrupt

    monkeypatch.setattr("stackkit.evaluation.nested_scores", fails)
    done = run(*FIT, "--verdict")  # with no file to name
    assert len(done.stdout.splitlines()) == len(scores.splitlines()) + 1
    assert done.stdout.endswith("What the stack itself is worth: the verdict, which follows.\n")
    assert "its scores are printed, only the verdict is missing; what was not finished is lost: " in done.stderr


@pytest.mark.usefixtures("empty_pictures")
@pytest.mark.parametrize("as_json", [False, True])
def test_a_report_that_cannot_be_written_again_costs_nothing(run, files, monkeypatch, as_json):
    from stackkit.report.report import write_report

    def once(model, path, *, nested, **settings):
        if nested:
            raise OSError(28, "No space left on device")
        return write_report(model, path, nested=nested, **settings)

    monkeypatch.setattr("stackkit.report.write_report", once)
    done = run(*FIT, "--report", "page.html", "--verdict", *(["--json"] if as_json else []))
    assert done.exit_code == 1
    told = json.loads(done.stdout)["verdict"] if as_json else done.stdout.split("\n\n")[-1]
    assert told.startswith(("Stacking ", "Whether stacking "))
    assert (files / "page.html").read_text().endswith("</html>")
    assert done.stderr.splitlines()[-1] == (
        "stackkit: error: No space left on device; the verdict is printed, and the report stays without it; written: "
        "page.html"
    )


def test_a_metric_that_cannot_score_a_learner_costs_no_fit(run, files):
    x = np.random.default_rng(0).normal(size=60)
    pd.DataFrame({"x": x, "y": np.exp(3 * x)}).to_csv(files / "train.csv", index=False)
    options = ("--learners", "ridge,knn", "--metric", "neg_mean_squared_log_error", "--model", "kept.model", "--json")
    done = run("fit", "train.csv", "--target", "y", *options)
    assert done.exit_code == 0, done.stderr
    assert "stackkit: warning: The learner(s) ['ridge', 'stack'] have no mean_squared_log_error: " in done.stderr
    rows = json.loads(done.stdout)["leaderboard"]
    assert [(row["learner"], row["mean_squared_log_error"] is None) for row in rows[1:]] == [
        ("knn", False),
        ("ridge", True),
    ]


# --- columns with a part to play -------------------------------------------------------------------------------------


def test_rows_of_a_group_stay_together(run, files, monkeypatch):
    seen = {}
    fit = stackkit.StackingModel.fit

    def spy(model, X, y, **params):
        seen.update(model=fit(model, X, y, **params), X=X, **params)
        return model

    monkeypatch.setattr(stackkit.StackingModel, "fit", spy)
    _passengers().assign(team=np.arange(90) // 6).to_csv(files / "train.csv", index=False)
    done = run(*FIT, "--groups", "team")
    assert done.exit_code == 0, done.stderr
    assert "15 groups by 'team', which is no feature" in done.stderr
    assert list(seen["X"]) == ["x", "gap", "port", "born"]
    for train, test in seen["model"].oof_.folds.pairs:
        assert not set(seen["groups"][train]) & set(seen["groups"][test])


def test_time_order_learns_from_the_past_only(run, files, monkeypatch):
    seen = {}
    fit = stackkit.StackingModel.fit

    def spy(model, X, y, **params):
        seen.update(model=fit(model, X, y, **params), X=X)
        return model

    monkeypatch.setattr(stackkit.StackingModel, "fit", spy)
    frame = _passengers().assign(clock=np.random.default_rng(5).permutation(90))
    frame.to_csv(files / "train.csv", index=False)
    done = run(*FIT, *TEST, "--time-order", "clock")
    assert done.exit_code == 0, done.stderr
    assert seen["X"]["x"].tolist() == frame.sort_values("clock")["x"].tolist()
    assert "clock" not in seen["X"]
    for train, test in seen["model"].oof_.folds.pairs:
        assert train.max() < test.min()
    assert pd.read_csv(files / "out.csv", dtype=str)["id"].tolist() == [f"{i:03}" for i in range(30)]


# Where tasks are run from: by a fit, and by nested scores.
RUN_TASKS = ("stackkit._oof.engine.run_tasks", "stackkit._model.nested.run_tasks")


@pytest.mark.parametrize("gap", [0, 3])
def test_no_day_is_predicted_by_a_model_that_saw_it(run, files, monkeypatch, gap):
    """Not by those of the fit, nor by those of the verdict."""
    seen = []
    run_tasks = stackkit._oof.engine.run_tasks

    def spy(job, tasks, **settings):
        seen.append((len(job.X), job.folds))
        return run_tasks(job, tasks, **settings)

    for place in RUN_TASKS:
        monkeypatch.setattr(place, spy)
    # As many rows a day as come, in no order; the days' rows are found by x.
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    frame = pd.DataFrame(
        {"x": rng.permutation(len(days)), "day": pd.Timestamp("2024-02-01") + pd.to_timedelta(days, "D")}
    )
    frame = frame.assign(y=rng.choice(["yes", "no"], len(days))).sample(frac=1, random_state=0)
    frame.to_csv(files / "train.csv", index=False)
    options = ("--learners", "naive_bayes", "--time-order", "day", "--cv", "3", "--verdict")
    done = run("fit", "train.csv", "--target", "y", *options, *(("--gap", gap) if gap else ()))
    assert done.exit_code == 0, done.stderr
    ordered = np.sort(days)
    assert [(rows, len(folds)) for rows, folds in seen] == [(len(days), 3), (len(days), 15)]
    for train, test in (pair for _, folds in seen for pair in folds.pairs):
        assert ordered[train].max() == ordered[test].min() - gap - 1
    for last in range(2, 15, 3):  # inner fold of each outer one
        inner, outer = seen[1][1].test_parts(last)
        assert ordered[inner].max() == ordered[outer].min() - gap - 1
    assert "rows are ordered by 'day', which is no feature; it has 60 different values" in done.stderr
    assert "groups by" not in done.stderr


def test_learners_that_set_rows_aside_take_few_times(run, files):
    """All rows to learn from are of one day: these can be set aside, too."""
    _passengers().assign(month=np.arange(90) // 15).drop(columns="born").to_csv(files / "train.csv", index=False)
    done = run(*FIT[:-1], "naive_bayes,xgboost,bn_mlp", "--time-order", "month", "--json")
    assert done.exit_code == 0, done.stderr
    stack, *learners = json.loads(done.stdout)["leaderboard"]
    assert stack["status"] == "scored on 60 of 75 rows"
    assert {row["status"] for row in learners} == {"ok"}


def test_rows_that_seem_to_be_in_the_order_of_time_are_told_once(run, files):
    _passengers(120).assign(day=pd.date_range("2026-01-01", periods=120)).to_csv(files / "train.csv", index=False)
    done = run(*FIT, "--verdict")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("The dates of the column 'day' are in order") == 1
    assert "(command line: --time-order 'day')" in done.stderr
    assert "are in order" not in run(*FIT, "--time-order", "day").stderr


def test_a_model_of_rows_in_time_order_can_be_kept(run, files):
    _passengers().assign(day=np.arange(90) // 4).to_csv(files / "train.csv", index=False)
    done = run(*FIT, *TEST, "--time-order", "day", "--gap", "2", "--model", "kept.model")
    assert done.exit_code == 0, done.stderr
    assert run("predict", "kept.model", "test.csv", "--output", "again.csv").exit_code == 0
    assert (files / "again.csv").read_text() == (files / "out.csv").read_text()
    assert repr(stackkit.load(files / "kept.model").cv) == "TimeOrderSplit(gap=2, n_splits=5)"


@pytest.mark.usefixtures("files")
def test_an_id_that_nobody_named_is_pointed_out(run):
    arguments = [argument for argument in FIT if argument not in ("--id", "id")]
    assert "looks like an ID and is used as a feature; name it with --id 'id'" in run(*arguments).stderr
    assert "looks like an ID" not in run(*FIT).stderr


def test_rows_without_a_target_are_left_out_and_counted(run, files):
    frame = _passengers()
    frame.loc[[3, 5], "y"] = ""
    frame.to_csv(files / "train.csv", index=False)
    done = run(*FIT, "--json")
    assert "train.csv: 2 row(s) without a target are left out" in done.stderr
    assert json.loads(done.stdout)["rows"] == 88


def test_strays_among_numbers_are_counted(run, files):
    text = (files / "test.csv").read_text().splitlines()
    text[3] = text[3].replace(text[3].split(",")[1], "unknown", 1)
    (files / "test.csv").write_text("\n".join(text))
    assert "test.csv: the column 'x' has 1 value(s) that are no number, such as 'unknown'" in run(*FIT, *TEST).stderr


def test_dropped_columns_may_be_in_one_file_only(run, files):
    pd.read_csv(files / "test.csv", dtype=str).assign(extra=1).to_csv(files / "test.csv", index=False)
    assert run(*FIT, *TEST, "--drop", "extra", "--drop", "born").exit_code == 0


def test_the_test_files_target_can_be_ignored(run, files):
    _passengers(30, seed=1).to_csv(files / "test.csv", index=False)
    line = _only_line(run(*FIT, *TEST))
    assert "test.csv: has the target 'y', which rows to predict do not have; is it the right file?" in line
    assert run(*FIT, *TEST, "--ignore-test-target").exit_code == 0


# --- what is refused -------------------------------------------------------------------------------------------------

ROWS = "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(20))
BAD_TRAIN = {
    "empty": (b"", "train.csv: is empty"),
    "header only": (b"id,x,y\n", "train.csv: holds the names of columns and no rows"),
    "target twice": (b"id,y,x,y\n1,2,3,a\n", "train.csv, line 1: several columns have the name 'y', which --target"),
    "long row": (f"id,x,y\n{ROWS}99,1,a,2\n", "train.csv, line 22: 4 field(s) where the header has 3"),
    "short row": (f"id,x,y\n{ROWS}99,1\n", "train.csv, line 22: 2 field(s) where the header has 3"),
    "broken UTF-8": (f"id,x,y\n{ROWS}98,é,a\n".encode() + b"99,\xe9,a\n", "train.csv, line 23: is UTF-8 with broken"),
    "open quote": (f'id,x,y\n{ROWS}99,"1,a\n', "train.csv, line 22: a quote is opened"),
    "NUL": (f"id,x,y\n{ROWS}99,\0,a\n", "train.csv, line 22: holds a NUL byte"),
    "no target": (f"id,x,Y2\n{ROWS}", "train.csv, line 1: no column 'y', which --target names; did you mean 'Y2'?"),
    "no ID": (f"Id,x,y\n{ROWS}", "train.csv, line 1: no column 'id', which --id names; did you mean 'Id'?"),
    "ID twice": (f"id,x,y\n{ROWS}3,1,a\n", "train.csv, line 22: the ID 'id' is '3' again"),
    "blank ID": (f"id,x,y\n{ROWS} ,1,a\n", "train.csv, line 22: the ID 'id' is empty"),
    "one class": ("id,x,y\n1,1,a\n2,2,a\n", "train.csv: the target 'y' has one class only, 'a'"),
    "targets missing": ("id,x,y\n1,1,\n2,2,\n", "train.csv: the target 'y' is empty in all rows"),
    "rare class": (f"id,x,y\n{ROWS}99,1,c\n", "train.csv: --cv 5 needs 5 rows of the class 'c', and there are 1"),
    "no features": ("id,y\n1,a\n2,b\n", "train.csv: no column is left to predict from"),
    "empty columns": (
        "id,x,e,y\n" + "".join(f"{i},?,NA,{'ab'[i % 2]}\n" for i in range(20)),
        "train.csv: no column is left to predict from",
    ),
    "infinity": (f"id,x,y\n{ROWS}99,inf,a\n", "train.csv, line 22: the column 'x' holds 'inf'"),
    "one column": ("id/x/y\n1/2/a\n", "train.csv, line 1: no column 'y'"),
}


@pytest.mark.parametrize("case", BAD_TRAIN)
def test_bad_training_files_are_one_line_and_leave_nothing(run, tmp_path, case):
    content, message = BAD_TRAIN[case]
    (tmp_path / "train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "test.csv").write_text("id,x\n1,2\n")
    assert f"stackkit: error: {message}" in _only_line(run(*FIT, *TEST, "--model", "kept.model"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.csv", "train.csv"]


BAD_TEST = {
    "missing and extra": (
        "id,z\n1,2\n",
        "test.csv, line 1: columns differ from the training file's: missing ['x'], extra ['z']",
    ),
    "extra": ("id,x,z\n1,2,3\n", "extra ['z']; leave out what is extra with --drop"),
    "no ID": ("x\n1\n", "missing ['id']"),
    "ID twice": ("id,x\n1,2\n1,3\n", "test.csv, line 3: the ID 'id' is '1' again"),
    "short row": ("id,x\n1,2\n2\n", "test.csv, line 3: 1 field(s)"),
    "empty": ("", "test.csv: is empty"),
}


@pytest.mark.parametrize("case", BAD_TEST)
def test_bad_test_files_are_one_line_and_leave_nothing(run, tmp_path, case):
    content, message = BAD_TEST[case]
    (tmp_path / "train.csv").write_text(f"id,x,y\n{ROWS}")
    (tmp_path / "test.csv").write_text(content)
    (tmp_path / "out.csv").write_text("of an earlier run")
    assert message in _only_line(run(*FIT, *TEST))
    assert (tmp_path / "out.csv").read_text() == "of an earlier run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "test.csv", "train.csv"]


BAD_OPTIONS = {
    ("--learners", "logistc"): "--learners: no learner 'logistc' for classification; did you mean 'logistic'?",
    ("--learners", "knn,knn"): "--learners names 'knn' more than once",
    ("--learners", ","): "Invalid value for '--learners': it names none",
    ("--final", "ridge"): "--final: no final estimator 'ridge' for classification; there are 'log_pool'",
    (
        "--metric",
        "rmse",
    ): "--metric neg_root_mean_squared_error is not for classification; choose",
    ("--metric", "roc_auk"): "--metric: scikit-learn has no scorer 'roc_auk'; did you mean 'roc_auc'?",
    ("--metric", "neg_mean_squared_log_error"): "--metric neg_mean_squared_log_error is not for classification",
    ("--cv", "many"): "Invalid value for '--cv'",
    ("--cv", "1"): "Invalid value for '--cv'",
    ("--cv", "60"): "train.csv: --cv 60 needs 60 rows of the class",
    ("--groups", "port"): "the group 'port' is empty",
    ("--groups", "grup"): "no column 'grup', which --groups names",
    ("--time-order", "port"): "--time-order needs numbers or dates",
    ("--time-order", "gap"): "'gap', which orders the rows, is empty",
    ("--drop", "prt"): "no column 'prt', which --drop names; did you mean 'port'?",
    ("--drop", "y"): "the column 'y' is named by --target and --drop",
    ("--task", "regression"): "train.csv, line 2: the target 'y' is",
    ("--test", "test.csv"): "--test and --output go together",
    ("--output", "out.csv"): "--test and --output go together",
    ("--probabilities",): "--probabilities needs --test and --output",
    ("--test", "test.csv", "--output", "no/out.csv"): "no/out.csv: cannot be written (no such file or directory)",
    ("--test", "test.csv", "--output", "."): "does not tell what kind of table it is",
    ("--test", "test.csv", "--output", "out.doc"): "does not tell what kind of table it is",
    ("--test", "test.csv", "--output", "test.csv"): "test.csv: is both --test and --output",
    ("--test", "test.csv", "--output", "train.csv"): "train.csv: is both TRAIN and --output",
    ("--test", "nope.csv", "--output", "out.csv"): "nope.csv: cannot be read (no such file or directory)",
    ("--model", "no/kept.model"): "no/kept.model: cannot be written",
    ("--model", "x", "--report", "x"): "x: is both --model and --report",
    ("--repeats", "2", "--groups", "born"): "--repeats goes with neither --groups nor --time-order",
    ("--gap", "2"): "--gap leaves out times, and goes with --time-order only",
    ("--gap", "-1", "--time-order", "born"): "Invalid value for '--gap'",
    ("--gap", "90", "--time-order", "born"): "--cv 5 with --gap 90 needs 96 different values of 'born', and there are",
    ("--time-limit", "0"): "Invalid value for '--time-limit'",
    ("--memory", "train.csv"): "must be a folder; got the file",
    ("--jobs", "0"): "n_jobs",
    ("--tset", "x"): "No such option",
    (*TEST, "--probabilities", "maybe"): "--probabilities: no class 'maybe'; there are 'no', 'yes'",
    ("--decimal", ";"): "Invalid value for '--decimal'",
}


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=" ".join)
def test_bad_options_are_one_line_and_leave_nothing(run, files, options):
    before = (files / "train.csv").read_bytes()
    assert BAD_OPTIONS[options] in _only_line(run(*FIT, *options))
    assert sorted(path.name for path in files.iterdir()) == ["test.csv", "train.csv"]
    assert (files / "train.csv").read_bytes() == before


@pytest.mark.usefixtures("files")
def test_options_reach_the_stack(run, monkeypatch):
    def fails(model, *_args, **_params):
        params = model.get_params(deep=False)
        seen = [params[name] for name in ("random_state", "n_jobs", "time_limit", "task", "verbose", "preset")]
        raise LearnerFailedError(f"{seen} {params['cv'].random_state} {type(params['final_estimator']).__name__}")

    monkeypatch.setattr(stackkit.StackingModel, "fit", fails)
    options = ("--seed", "3", "--jobs", "2", "--time-limit", "60", "--final", "convex", "--quiet")
    line = _only_line(run(*FIT, *options), 1)
    assert line == "stackkit: error: [3, 2, 60.0, 'classification', False, None] 3 ConvexClassifier"


@pytest.mark.usefixtures("files")
def test_a_stop_says_how_to_go_on(run, monkeypatch):
    def fails(*_args, **_params):
        raise KeyboardInterrupt

    monkeypatch.setattr(stackkit.StackingModel, "fit", fails)
    line = _only_line(run(*FIT, "--memory", "cache"), 130)
    assert line.endswith("interrupted; what was computed is in cache: the same command goes on from there")
    assert _only_line(run(*FIT), 130).endswith("is lost: with --memory DIR, the same command would go on from there")
    monkeypatch.setattr("stackkit.evaluation.nested_scores", fails)
    assert "the same command goes on" in _only_line(run("compare", *FIT[1:], "--memory", "cache"), 130)


def test_one_column_of_probabilities(run, files):
    assert run(*FIT, *TEST, "--probabilities", "--model", "kept.model").exit_code == 0
    of_all = pd.read_csv(files / "out.csv", dtype={"id": str})
    assert list(of_all.columns) == ["id", "no", "yes"]
    for wanted, label in (("positive", "yes"), ("no", "no"), ("yes", "yes")):
        done = run("predict", "kept.model", "test.csv", "--output", "one.csv", "--probabilities", wanted)
        assert done.exit_code == 0, done.stderr
        assert f"the predictions are probabilities of {label!r}" in done.stderr
        one = pd.read_csv(files / "one.csv", dtype={"id": str})
        assert list(one.columns) == ["id", "y"]
        assert one["id"].tolist() == of_all["id"].tolist()
        np.testing.assert_allclose(one["y"], of_all[label], rtol=1e-12)
    _passengers().assign(y=np.arange(90) % 3).to_csv(files / "train.csv", index=False)
    assert "--probabilities positive needs two classes, and 'y' has 3" in _only_line(
        run(*FIT, *TEST, "--probabilities", "positive")
    )


def test_probabilities_need_classes_with_names_of_their_own(run, files):
    _passengers().assign(y=np.arange(90) / 7).to_csv(files / "train.csv", index=False)
    options = ("--learners", "ridge", *TEST, "--probabilities")
    assert "--probabilities needs classes, and 'y' is a number" in _only_line(run(*FIT, *options))
    _passengers().replace({"y": {"no": "id"}}).to_csv(files / "train.csv", index=False)
    assert "a class has the name of the ID column, 'id'" in _only_line(run(*FIT, *TEST, "--probabilities"))


def test_metrics_for_two_classes_are_refused_for_three(run, files):
    _passengers().assign(y=np.arange(90) % 3).to_csv(files / "train.csv", index=False)
    assert "--metric precision does not suit this target: " in _only_line(run(*FIT, "--metric", "precision"))
    assert run(*FIT, "--metric", "precision_macro").exit_code == 0


def test_too_few_groups_for_the_folds(run, files):
    _passengers().assign(team=np.arange(90) % 3).to_csv(files / "train.csv", index=False)
    assert "--cv 5 needs 5 groups, and there are 3; use --cv 3" in _only_line(run(*FIT, "--groups", "team"))


def test_too_few_rows_inside_outer_folds(run, files):
    frame = _passengers().head(30)
    frame["y"] = ["rare" if i < 5 else "often" for i in range(30)]
    frame.to_csv(files / "train.csv", index=False)
    for command in (("compare", *FIT[1:]), (*FIT, "--verdict")):
        assert "5 outer folds leave 4 rows of the class 'rare' to --cv 5 inner ones" in _only_line(run(*command))


NO_FOLDS = {
    "five groups": (
        {"team": np.arange(90) % 5},
        ("--groups", "team"),
        "made: Cannot have number of splits n_splits=5 greater than the number of groups: 4; use a smaller --cv",
    ),
    "few days": (
        {"day": np.arange(90) // 5},
        ("--time-order", "day"),
        "outer fold 0 of 5 cannot be made: n_splits=5 and gap=0 need 6 different times; got 3; use a smaller --cv",
    ),
    "one class at first": (
        {"day": np.arange(90), "y": ["no"] * 9 + ["no", "yes"] * 40 + ["yes"]},
        ("--time-order", "day", "--cv", "2"),
        "inner fold 0 of outer fold 0 of 5 trains on rows of the class 'no' only; use a smaller --cv",
    ),
    "a class of two groups": (
        {"team": np.arange(90) % 9, "y": np.where(np.arange(90) % 9 < 2, "yes", "no")},
        ("--groups", "team", "--cv", "2"),
        "trains on rows of the class 'no' only; each class has to be in more of the groups",
    ),
}


@pytest.mark.parametrize("case", NO_FOLDS)
def test_nested_folds_that_cannot_be_made_are_said_before_the_fit(run, files, monkeypatch, case):
    def fails(*_args, **_params):
        raise AssertionError("It fits.")

    for place in RUN_TASKS:
        monkeypatch.setattr(place, fails)
    columns, options, message = NO_FOLDS[case]
    _passengers().assign(**columns).to_csv(files / "train.csv", index=False)
    line = _only_line(run(*FIT, *options, "--verdict", "--model", "kept.model"))
    assert "train.csv: --verdict with 5 outer folds and --cv " in line
    assert f"{message}, or leave --verdict out" in line
    assert message in _only_line(run("compare", *FIT[1:], *options))
    assert _names(files) == ["test.csv", "train.csv"]


@pytest.mark.parametrize(
    ("columns", "options", "needs"),
    [
        ({"team": np.arange(90) % 4}, ("--groups", "team"), "needs 5 groups, and there are 4"),
        ({"y": ["rare"] * 4 + ["often"] * 86}, (), "needs 5 rows of the class 'rare', and there are 4"),
        ({"day": np.arange(90) // 18}, ("--time-order", "day"), "needs 6 different values of 'day', and there are 5"),
    ],
)
def test_too_few_of_something_for_the_verdict_are_said_before_the_fit(run, files, columns, options, needs):
    _passengers().assign(**columns).to_csv(files / "train.csv", index=False)
    line = _only_line(run(*FIT, *options, "--cv", "3", "--verdict", "--model", "kept.model"))
    advice = "leave --verdict out, or use stackkit compare --outer 4"
    assert line == f"stackkit: error: train.csv: --verdict makes 5 outer folds and {needs}; {advice}"
    assert _names(files) == ["test.csv", "train.csv"]


def test_a_fit_that_would_learn_from_one_class_is_refused(run, files):
    _passengers().assign(day=np.arange(90), y=["no"] * 20 + ["no", "yes"] * 35).to_csv(files / "train.csv", index=False)
    line = _only_line(run(*FIT, "--time-order", "day"))
    assert (
        "--cv 5 by --time-order 'day' cannot be used: fold 0 of 5 trains on rows of the class 'no' only; use a" in line
    )
    assert run(*FIT, "--time-order", "day", "--cv", "2").exit_code == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_found_out(run, files):
    (files / "closed").mkdir(mode=0o500)
    assert "cannot be written (permission denied)" in _only_line(run(*FIT, *TEST[:3], "closed/out.csv"))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (LearnerFailedError("knn failed\n in fold 2."), 1, "stackkit: error: knn failed in fold 2."),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (MemoryError(), 1, "out of memory"),
        (ValueError("X is odd."), 2, "X is odd."),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("stage", ["fit", "predict"])
def test_failures_during_the_work_leave_nothing(run, files, monkeypatch, stage, error, code, message):  # noqa: PLR0917
    def fails(*_args, **_params):
        raise error

    monkeypatch.setattr(stackkit.StackingModel, stage, fails)
    assert message in _only_line(run(*FIT, *TEST, "--model", "kept.model"), code)
    assert sorted(path.name for path in files.iterdir()) == ["test.csv", "train.csv"]


def test_a_full_disk_leaves_nothing(run, files, monkeypatch):
    (files / "out.csv").write_text("of an earlier run")

    def half(_frame, path):
        path.write_text("id,y\n0")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stackkit.cli.writing.write_table", half)
    assert _only_line(run(*FIT, *TEST, "--model", "kept.model"), 1) == "stackkit: error: No space left on device"
    assert (files / "out.csv").read_text() == "of an earlier run"
    assert sorted(path.name for path in files.iterdir()) == ["out.csv", "test.csv", "train.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,y\n1,2\n", "is no model file of stackkit"),
        (b"stackkit model 1\n", "is no model file of stackkit"),
        (b"PK\x03\x04 of another program", "is cut short, damaged at its end, or no model file of stackkit"),
        (None, "is cut short, damaged at its end"),
    ],
)
def test_what_is_no_model_is_refused_unopened(run, files, content, message):
    if content is None:
        assert run(*FIT, "--model", "kept.model").exit_code == 0
        content = (files / "kept.model").read_bytes()[:-1]
    (files / "kept.model").write_bytes(content)
    for command in (("predict", "kept.model", "test.csv", "--output", "out.csv"), ("info", "kept.model")):
        assert f"kept.model: {message}" in _only_line(run(*command))
    assert not (files / "out.csv").exists()


def test_predict_refuses_rows_that_lack_columns(run, files):
    assert run(*FIT, "--model", "kept.model").exit_code == 0
    (files / "new.csv").write_text("id,x\n1,2\n")
    line = _only_line(run("predict", "kept.model", "new.csv", "--output", "out.csv"))
    assert "new.csv, line 1: columns differ from the training file's: missing ['gap', 'port', 'born']" in line


# --- help, and real processes ----------------------------------------------------------------------------------------


def test_help_names_every_learner_and_final_estimator(run):
    from stackkit.cli.problem import FINALS

    text = " ".join(run("fit", "--help").stdout.split())
    for task in ("classification", "regression"):
        for name in [*dict(stackkit.default_learners(task, preset="best")), *FINALS[task]]:
            assert re.search(rf"\b{name}\b", text), name


@pytest.mark.usefixtures("files")
def test_info_names_versions_the_key_and_what_a_store_holds(run):
    shown = run("info").stdout
    assert f"stackkit {metadata.version('stackkit')}" in shown
    assert "store.key" in shown
    assert run(*FIT, "--memory", "cache").exit_code == 0
    assert re.search(r"Store in .*cache: [1-9]\d* entries", run("info", "cache").stdout)


def _process(*arguments, cwd):
    command = [sys.executable, "-m", "stackkit", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_is_light():
    code = "import sys; from stackkit.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Commands:" in shown
    assert not {"torch", "xgboost", "skorch", "matplotlib", "polars"} & set(shown.split())


@pytest.mark.slow
def test_as_a_process(files):
    done = _process(*FIT, *TEST, cwd=files)
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first == "Out-of-fold scores, over 5 folds, with 95 % intervals:"
    assert last == "output: out.csv, 30 rows"
    assert "\x1b" not in done.stdout + done.stderr
    done = _process("fit", "nope.csv", "--target", "y", cwd=files)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "stackkit: error: nope.csv: cannot be read (no such file or directory)\n"


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_leaves_nothing(files):
    command = [
        sys.executable,
        "-m",
        "stackkit",
        "fit",
        "train.csv",
        "--target",
        "y",
        *QUICK,
        *TEST,
        "--repeats",
        "200",
    ]
    process = subprocess.Popen(command, cwd=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "learners, " in line:  # the plan: it begins
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.splitlines()[-1] == (
        "stackkit: error: interrupted; what was not finished is lost: with --memory DIR, the same command would go on "
        "from there"
    )
    assert "Traceback" not in stderr
    assert sorted(path.name for path in files.iterdir()) == ["test.csv", "train.csv"]


@pytest.mark.nightly
def test_ctrl_c_during_the_verdict_leaves_the_fit(files):
    options = ("--learners", "extra_trees,naive_bayes", "--model", "kept.model", "--verdict", "--json", "--cv", "12")
    command = [sys.executable, "-m", "stackkit", *FIT[:-2], *options]
    process = subprocess.Popen(command, cwd=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    plans = 0
    for line in process.stderr:
        plans += "learners, " in line
        if plans == 2:  # that of the verdict
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    document = json.loads(stdout)
    assert (document["verdict"], document["verdict_error"]) == (None, "interrupted")
    assert stderr.splitlines()[-1].startswith("stackkit: error: interrupted; the fit is finished")
    assert "Traceback" not in stderr
    assert _process("predict", "kept.model", "test.csv", "--output", "out.csv", cwd=files).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("data", "task"), [(load_iris, "classification"), (load_diabetes, "regression")])
def test_tables_as_users_have_them(run, tmp_path, data, task):
    """Words, days, gaps, codes, quotes; from the file to the report with what the help says."""
    rng = np.random.default_rng(0)
    bunch = data(as_frame=True)
    truth = bunch.target if task == "regression" else pd.Series(bunch.target_names[bunch.target])
    frame = bunch.data.mask(rng.random(bunch.data.shape) < 0.1).assign(outcome=truth.astype(str))
    n = len(frame)
    frame["by"] = rng.choice(['Fisher, "R. A."', "Zoë", "<b>O'Neil</b>", ""], n)
    frame["seen"] = (pd.Timestamp("1935-05-31") + pd.to_timedelta(rng.integers(0, 99, n), "D")).strftime("%d.%m.%Y")
    frame.insert(0, "code", [f"{i:03}" for i in range(n)])
    frame.loc[7, "outcome"] = ""
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "train.csv.gz", index=False)
    frame.drop(columns="outcome").to_csv(tmp_path / "test.csv", index=False)
    learners = "xgboost,knn," + ("ridge" if task == "regression" else "naive_bayes")
    arguments = ("train.csv.gz", "--target", "outcome", "--id", "code", "--learners", learners)
    done = run("fit", *arguments, *TEST, "--report", "page.html")
    assert done.exit_code == 0, done.stderr
    assert f"stackkit: {task}: " in done.stderr
    assert "date 1" in done.stderr
    assert "1 row(s) without a target are left out" in done.stderr
    out = pd.read_csv(tmp_path / "out.csv", dtype=str)
    assert out["code"].tolist() == frame["code"].tolist()
    if task == "classification":
        assert (out["outcome"] == truth).mean() > 0.9
    else:
        assert np.corrcoef(out["outcome"].astype(float), truth)[0, 1] > 0.7
    page = (tmp_path / "page.html").read_text()
    assert "1935-05-31" in page
    assert re.search(r">\d{3}: ", page)  # hard rows by their codes


def _cpu_seconds_of_processes():
    ended = os.times()
    return ended.children_user + ended.children_system


@pytest.mark.nightly
@pytest.mark.skipif(not (KAGGLE / "train.csv").exists(), reason="Kaggle's files are not in $STACKKIT_DATA/titanic")
def test_kaggles_titanic(tmp_path):
    start = _cpu_seconds_of_processes()
    arguments = ("--target", "Survived", "--id", "PassengerId", "--test", KAGGLE / "test.csv", "--output", "out.csv")
    done = _process("fit", KAGGLE / "train.csv", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert _cpu_seconds_of_processes() - start < 2 * 60  # a minute on two cores, however busy they are
    out = pd.read_csv(tmp_path / "out.csv", dtype=str)
    assert list(out.columns) == ["PassengerId", "Survived"]
    assert out["PassengerId"].tolist() == pd.read_csv(KAGGLE / "test.csv", dtype=str)["PassengerId"].tolist()
    assert set(out["Survived"]) == {"0", "1"}
    assert 0.25 < (out["Survived"] == "1").mean() < 0.5
