"""Label issues: those of cleanlab on the same table, labels flipped on purpose, and no row judged by its own label."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_classification
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from spies import Witness, with_row_ids

from stackkit import OutOfFold, StackingModel, StackingRegressor
from stackkit._assessment import second_level
from stackkit._assessment.label_issues import confident_counts, mislabelled, rounded, spread_beside
from stackkit.inspection import label_issues

LEARNERS = [("knn", KNeighborsClassifier(15)), ("bayes", GaussianNB(var_smoothing=0.01))]


@pytest.fixture(scope="module")
def flipped_digits():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    flipped = rng.choice(len(y), int(0.08 * len(y)), replace=False)
    noisy = y.copy()
    noisy[flipped] = (y[flipped] + rng.integers(1, 10, len(flipped))) % 10
    return StackingModel(LEARNERS, random_state=0).fit(X, noisy), flipped


def _noisy(seed, n=400, n_classes=4, noise=0.2):
    """Labels, some of them wrong, and probabilities that know the true ones more or less."""
    rng = np.random.default_rng(seed)
    true = rng.choice(n_classes, n, p=rng.dirichlet(np.full(n_classes, 3)))
    scores = rng.normal(size=(n, n_classes)) + 2.5 * np.eye(n_classes)[true]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    y = np.where(rng.random(n) < noise, rng.integers(0, n_classes, n), true)
    y[:n_classes] = np.arange(n_classes)
    return y, p


@pytest.mark.parametrize("seed", range(12))
def test_they_are_those_of_cleanlab(seed):
    """None of these probabilities are equal: there are no ties."""
    cleanlab = pytest.importorskip("cleanlab.filter")
    n_classes, noise = [2, 3, 4, 10][seed % 4], [0.05, 0.2, 0.5][seed % 3]
    y, p = _noisy(seed, n=[60, 400][seed % 2], n_classes=n_classes, noise=noise)
    theirs = cleanlab.find_label_issues(y, p, n_jobs=1)
    np.testing.assert_array_equal(mislabelled(y, p), theirs)
    assert theirs.any()


def test_of_a_stack_they_are_those_of_cleanlab(flipped_digits):
    cleanlab = pytest.importorskip("cleanlab.filter")
    model, _ = flipped_digits
    proba = second_level(model.final_estimator_, model.oof_).proba("stack").to_numpy()
    found = label_issues(model)
    theirs = cleanlab.find_label_issues(model.oof_.y, proba, n_jobs=1)
    assert sorted(found["position"][found["issue"]]) == np.flatnonzero(theirs).tolist()
    # The most doubtful first, as cleanlab ranks by "self confidence".
    ranked = cleanlab.find_label_issues(model.oof_.y, proba, n_jobs=1, return_indices_ranked_by="self_confidence")
    np.testing.assert_array_equal(found["position"][found["issue"]], ranked)
    # Shares of 15 neighbours are often equal, and of these other ones may be taken.
    by_shares = label_issues(model, learner="knn")
    shares = cleanlab.find_label_issues(model.oof_.y, model.oof_.proba("knn").to_numpy(), n_jobs=1)
    both = np.isin(np.flatnonzero(shares), by_shares["position"][by_shares["issue"]])
    assert both.mean() > 0.95
    assert by_shares["issue"].sum() == pytest.approx(shares.sum(), rel=0.05)


def test_counts_by_hand():
    p = np.array([0.9, 0.8, 0.4, 0.4, 0.4, 0.6])  # of class 0
    y = np.array([0, 0, 0, 1, 1, 1])
    counts = confident_counts(y, np.column_stack([p, 1 - p]))
    # The class means are 0.7 and 0.533: rows 0 and 1 are confidently 0, rows 2, 3 and 4 confidently 1, row 5 neither.
    np.testing.assert_array_equal(counts, [[2, 1], [0, 3]])
    np.testing.assert_array_equal(mislabelled(y, np.column_stack([p, 1 - p])), [0, 0, 1, 0, 0, 0])


def test_whole_numbers_with_the_same_sum():
    assert rounded(np.array([1.4, 1.4, 1.2])).tolist() in ([2, 1, 1], [1, 2, 1])
    assert rounded(np.array([0.6, 0.6, 0.8])).sum() == 2
    assert rounded(np.array([2.0, 3.0])).tolist() == [2, 3]


def test_no_class_loses_its_last_row():
    """Both rows of class 0 are confidently something else, each another thing."""
    y = np.array([0, 0, 1, 1, 1, 2, 2, 2])
    p = np.vstack([[0.03, 0.95, 0.02], [0.03, 0.02, 0.95], *[[0.05, 0.9, 0.05]] * 3, *[[0.05, 0.05, 0.9]] * 3])
    assert confident_counts(y, p)[0, 0] == 1
    assert not mislabelled(y, p)[:2].all()


def test_labels_flipped_on_purpose_are_found(flipped_digits):
    """Precision at the number flipped."""
    model, flipped = flipped_digits
    found = label_issues(model)
    worst = found["position"].to_numpy()[: len(flipped)]
    assert np.isin(worst, flipped).mean() > 0.85
    assert found["issue"].to_numpy()[: len(flipped) // 2].mean() > 0.9
    assert found["doubt"].is_monotonic_decreasing
    right = load_digits(return_X_y=True)[1]
    issues = found[found["issue"]]
    repaired = issues["suggested"].to_numpy() == right[issues["position"]]
    assert repaired.mean() > 0.8


def test_no_row_is_judged_by_what_saw_its_label():
    """A final estimator, and a learner, that say 1 of rows that they were fitted to must say 0 of each row."""
    rng = np.random.default_rng(0)
    X, y = with_row_ids(rng.normal(size=(60, 2))), np.arange(60) % 2
    spies = StackingModel([("witness", Witness()), ("bayes", GaussianNB())], LogisticRegression(), random_state=0)
    assert (label_issues(spies.fit(X, y), learner="witness")["suggested"] == 0).all()
    oof = OutOfFold.from_frames({"row": rng.uniform(size=60)}, y)
    assert (label_issues(StackingModel.from_oof(oof, Witness()))["suggested"] == 0).all()


def test_random_labels_are_not_believed_by_themselves():
    """From noise nothing follows: the given label is as probable as any other, on average."""
    X, y = np.random.default_rng(0).normal(size=(300, 5)), np.random.default_rng(1).integers(0, 2, 300)
    model = StackingModel([("knn", KNeighborsClassifier(1)), ("bayes", GaussianNB())], random_state=0).fit(X, y)
    assert label_issues(model)["doubt"].mean() == pytest.approx(0.5, abs=0.05)
    assert label_issues(model, learner="knn")["doubt"].mean() == pytest.approx(0.5, abs=0.1)


def test_numbers_changed_on_purpose_are_found():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(0)
    changed = rng.choice(len(y), 15, replace=False)
    y = y.copy()
    y.iloc[changed] += rng.choice([-1, 1], 15) * 400
    X.index = y.index = [f"r{i}" for i in range(len(y))]
    model = StackingRegressor([("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))], random_state=0).fit(X, y)
    found = label_issues(model)
    assert np.isin(found["position"][:15], changed).mean() > 0.9
    assert found["issue"].sum() <= 20
    row = found.iloc[0]
    assert found.index[0] == f"r{row['position']}"
    assert row["given"] == y.iloc[row["position"]]
    assert abs(row["suggested"] - row["given"]) > 200


def test_the_spread_is_that_of_rows_that_are_predicted_alike():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(1, 100, 4000)
    spread = spread_beside(predicted, predicted * rng.normal(size=4000))
    np.testing.assert_allclose(np.median(spread / predicted), 1, rtol=0.05)
    assert np.corrcoef(spread, predicted)[0, 1] > 0.95
    assert (spread_beside(predicted, np.zeros(4000)) > 0).all()


def test_with_columns_passed_through_they_need_the_rows():
    X, y = make_classification(120, random_state=0)
    model = StackingModel(LEARNERS, LogisticRegression(), passthrough=True, random_state=0).fit(X, y)
    assert len(label_issues(model, X)) == 120
    with pytest.raises(ValueError, match="X must be given to label_issues with passthrough; got None"):
        label_issues(model)
    assert len(label_issues(model, learner="knn")) == 120


def test_bad_input_is_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match="must be a StackingModel; got a GaussianNB"):
        label_issues(GaussianNB().fit(X, y))
    model = StackingModel(LEARNERS, RidgeClassifier(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="probabilities of classes, or one number per row; 'stack' gives 'score'"):
        label_issues(model)
    with pytest.raises(ValueError, match=r"must be one of 'knn', 'bayes'; got 'knm'\. Did you mean 'knn'"):
        label_issues(model, learner="knm")


def test_a_column_a_class():
    X, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["a", "b", "c"])[y]
    three = StackingModel(LEARNERS, random_state=0).fit(X, names).oof_
    assert list(three.proba("bayes")) == ["a", "b", "c"]
    np.testing.assert_array_equal(three.proba("bayes"), three.train[:, 3:])
    two = StackingModel(LEARNERS, random_state=0).fit(X[:100], names[:100]).oof_
    proba = two.proba("knn")
    np.testing.assert_array_equal(proba["b"], two.train[:, 0])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    pd.testing.assert_index_equal(proba.index, X.index[:100])
    with pytest.raises(ValueError, match=r"must name a learner; got 'bays'\. Did you mean 'bayes'"):
        two.proba("bays")
    margins = StackingModel([("margin", RidgeClassifier())], LogisticRegression()).fit(X, names).oof_
    with pytest.raises(ValueError, match="with probabilities; 'margin' gives 'score' columns by decision_function"):
        margins.proba("margin")
