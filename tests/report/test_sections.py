"""Sections of the page: importance, right and wrong, new rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import confusion_matrix, mean_absolute_error, recall_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel
from stackkit._assessment import second_level
from stackkit.inspection import permutation_importance
from stackkit.report.columns import edges_of, histogram
from stackkit.report.figures import Gallery, bars
from stackkit.report.importance import importance
from stackkit.report.new_rows import new_pictures, new_rows
from stackkit.report.outcomes import outcomes
from stackkit.report.scores import cost, headline
from stackkit.report.subject import Subject

EVIL = "<img src=x onerror=alert(1)>"
CLASSIFIERS = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]


def _subject(model, X=None, X_test=None):
    return Subject(model, X, X_test, None, None, None, None)


@pytest.fixture(scope="module")
def flowers():
    X, codes = load_iris(return_X_y=True, as_frame=True)
    y = np.array(["setosa", "versicolor", "virginica"])[codes]
    return StackingModel(CLASSIFIERS, cv=3, random_state=0).fit(X, y), X, y


@pytest.fixture(scope="module")
def numbers():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return StackingModel([("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(9))], cv=3).fit(X, y), X, y


def _cells(table):
    return {row[0]: row[1:] for row in table["rows"]}


def test_the_confusion_matrix_and_the_classes_are_the_stacks(flowers):
    model, X, y = flowers
    stack = second_level(model.final_estimator_, model.oof_)
    guess = model.classes_[stack.train.argmax(axis=1)]
    matrix, pairs, classes = outcomes(_subject(model, X))["tables"]
    expected = confusion_matrix(y, guess, labels=model.classes_)
    assert [[int(cell.striptags()) for cell in row[1:]] for row in matrix["rows"]] == expected.tolist()
    recall = recall_score(y, guess, labels=model.classes_, average=None)
    shown = [float(row[classes["head"].index("recall")]) for row in classes["rows"]]
    np.testing.assert_allclose(shown, recall, atol=1e-3)
    wrong = expected - np.diag(np.diag(expected))
    assert int(pairs["rows"][0][2]) == wrong.max()


def test_regression_tells_how_far_off_it_is_and_lacks_nothing(numbers):
    model, X, y = numbers
    stack = second_level(model.final_estimator_, model.oof_).train[:, 0]
    (sentence,) = outcomes(_subject(model, X))["sentences"]
    errors = np.abs(y - stack)
    assert f"off by {np.median(errors):.4g} or less in half of the rows" in sentence
    assert mean_absolute_error(y, stack) < errors.max()


def test_the_importances_are_those_of_the_public_function(numbers):
    model, X, _ = numbers
    found = permutation_importance(model, X, n_repeats=5, random_state=np.random.RandomState(0))
    shown = _cells(importance(_subject(model, X))["table"])
    assert set(list(shown)[:2]) == set(found.frame.index[:2])
    for name, value in found.frame["mean"][:3].items():
        assert float(shown[name][0]) == pytest.approx(value, rel=0.3)


def test_where_there_is_no_importance_it_is_said_why(flowers):
    model, X, y = flowers
    assert "needs the training rows" in importance(_subject(model))["why"]
    unkept = StackingModel(CLASSIFIERS, LogisticRegression(), cv=3, refit=True).fit(X, y)
    assert "fold models of 'bayes' are not there" in importance(_subject(unkept, X))["why"]
    wide = np.random.default_rng(0).normal(size=(60, 201))
    many = StackingModel(CLASSIFIERS[:1], cv=2).fit(wide, np.arange(60) % 2)
    assert "Of 201 columns it takes long" in importance(_subject(many, wide))["why"]
    tower = StackingModel(CLASSIFIERS, StackingModel(CLASSIFIERS, cv=2), cv=3).fit(X, y)
    subject = _subject(tower, X)
    assert "the final estimator is a stack" in importance(subject)["why"]
    assert "There is no score of the stack: the final estimator is a stack" in headline(subject)["why"]


def test_with_passthrough_the_stack_is_scored_where_the_rows_are_there(flowers):
    _, X, y = flowers
    model = StackingModel(CLASSIFIERS, LogisticRegression(max_iter=500), cv=3, passthrough=True).fit(X, y)
    assert "with passthrough, the final estimator needs the training rows" in headline(_subject(model))["why"]
    table = np.hstack([model.oof_.train, X])
    expected = np.zeros((150, 3))
    for train, test in model.oof_.folds.pairs:
        expected[test] = LogisticRegression(max_iter=500).fit(table[train], y[train]).predict_proba(table[test])
    np.testing.assert_allclose(_subject(model, X).stack.train, expected, atol=1e-6)


def test_drift_is_seen_where_it_is():
    rng = np.random.default_rng(0)

    def table(n, shift):
        return pd.DataFrame(
            {
                "same": rng.normal(size=n),
                "moved": rng.normal(size=n) + shift,
                "town": rng.choice(["Rome", "Oslo"], n) if not shift else rng.choice(["Rome", "Bern"], n),
                "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, n) + 500 * shift, "D"),
                "kind": rng.choice(["a", "b"], n),
            }
        )

    old, new = table(300, 0), table(200, 1)
    y = (old["same"] + rng.normal(size=300)).to_numpy()
    model = StackingModel([("line", LinearRegression())], cv=3).fit(old[["same", "moved"]], y)
    subject = _subject(model, old[["same", "moved"]], new[["moved", "same"]])
    told = new_rows(subject)
    assert told["drift"]["sentence"] == "1 of 2 columns differ by more than chance: moved."
    from stackkit.report.new_rows import _compared

    found = {name: _compared(old[name], new[name]) for name in old}
    assert {name for name, row in found.items() if row["p"] < 0.001} == {"moved", "town", "seen"}
    assert found["town"]["not seen in training"] == f"{(new['town'] == 'Bern').mean():.1%}"
    assert found["town"]["distance"] == pytest.approx(0.5, abs=0.1)
    assert found["seen"]["distance"] == 1


def test_predictions_of_new_rows_are_counted(flowers):
    model, X, _ = flowers
    told = new_rows(_subject(model, X, X[:50]))
    assert told["sentence"] == "50 rows were predicted."
    counts = pd.Series(model.predict(X[:50])).value_counts()
    shown = _cells(told["predicted"])
    for name in model.classes_:
        assert shown[name][-1] == str(counts.get(name, 0))
    assert new_rows(_subject(model, X)) is None
    assert new_pictures(_subject(model, X)) == []


def test_the_size_is_that_of_the_members(flowers):
    import pickle

    model, *_ = flowers
    table = cost(_subject(model))
    sizes = {name: float(row[table["head"].index("size, MB") - 1]) for name, row in _cells(table).items()}
    for name, members in model.members_.items():
        assert sizes[name] == pytest.approx(len(pickle.dumps(members[0])) * len(members) / 1e6, rel=0.2)


def test_bars_are_as_tall_as_their_counts_and_labels_are_text():
    values = np.array([0.0, 0.0, 1.0, 5.0, np.nan])
    assert histogram(values, edges_of(values)) == [2, 1, 1]
    wide = np.r_[np.linspace(0, 1, 50), 0.99]
    counts = histogram(wide, edges_of(wide))
    assert len(counts) == 20
    assert sum(counts) == 51
    drawn = bars([2, 0, 1], label=EVIL)
    assert drawn.count("<rect") == 2
    assert "<img" not in drawn
    assert bars([], label="none") == ""


def test_a_picture_that_cannot_be_drawn_is_named():
    def draw(_ax):
        raise ValueError("no curves")

    gallery = Gallery()
    assert gallery.show([("Curves", "", 3, draw)]) == []
    assert gallery.left_out == [("Curves", "no curves")]
