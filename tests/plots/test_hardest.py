"""The hardest rows against losses computed on their own."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pictures import DIABETES, PROGRESS, X2, Y2, Y3, legend, named, three
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from stackkit import LogPoolClassifier, RidgePoolRegressor, StackingModel, cross_fit
from stackkit.inspection import label_issues
from stackkit.plots import HardestRowsDisplay


def losses_of(y, p):
    return -np.log(np.where(y == 1, p, 1 - p))


def test_the_hardest_rows_are_those_of_the_largest_loss_of_the_stack(binary, ax):
    display = HardestRowsDisplay.from_estimator(binary, n_rows=7, ax=ax)
    P = binary.oof_.train
    p = cross_val_predict(LogPoolClassifier(), P, Y2, cv=StratifiedKFold(4), method="predict_proba")[:, 1]
    stack = losses_of(Y2, p)
    hardest = np.argsort(-stack)[:7]
    np.testing.assert_array_equal(display.rows_, hardest)
    np.testing.assert_array_equal(display.table_["position"], hardest)
    np.testing.assert_allclose(display.table_["stack"], stack[hardest])
    assert list(display.table_.index) == [f"r{i}" for i in hardest]
    doubts = label_issues(binary).loc[[f"r{i}" for i in hardest]]
    rather = [f", rather {row.suggested}" if row.issue else "" for row in doubts.itertuples()]
    assert any(rather)
    labels = zip(hardest, rather, strict=True)
    assert named(ax.yaxis) == [f"r{i}: {'yes' if Y2[i] else 'no'}{text}" for i, text in labels]
    assert display.table_["suggested"].tolist() == [text.removeprefix(", rather ") for text in rather]
    for i, name in enumerate(binary.oof_.blocks):
        expected = losses_of(Y2[hardest], np.clip(P[hardest, i], 1e-12, 1 - 1e-12))
        np.testing.assert_allclose(np.minimum(display.table_[name], 27), np.minimum(expected, 27))
    assert ax.get_xlabel().startswith("log-loss of the row, out of fold")
    assert ax.get_ylabel() == "row: truth"


def test_the_name_of_the_index_says_what_rows_are_called_by(ax):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 2)), index=pd.Index([f"{i:03}" for i in range(40)], name="ID $1$"))
    HardestRowsDisplay.from_oof(cross_fit([("bayes", GaussianNB())], X, np.arange(40) % 2, cv=2), ax=ax)
    assert ax.get_ylabel() == r"ID \$1\$: truth"


def marks(ax):
    """Drawn losses, by what the legend calls them."""
    return dict(zip(legend(ax), [spots.get_offsets()[:, 0].data for spots in ax.collections[1:]], strict=True))


def test_each_learner_has_its_mark(binary, ax):
    display = HardestRowsDisplay.from_estimator(binary, n_rows=5, ax=ax)
    drawn = marks(ax)
    most = 1.5 * display.ranking.max()
    np.testing.assert_allclose(drawn["stack, cross-fitted on the table"], display.ranking)
    for name in binary.oof_.blocks:
        assert (drawn[name] <= np.maximum(display.losses[name], most)).all()
        near = display.losses[name].to_numpy() <= most
        np.testing.assert_allclose(drawn[name][near], display.losses[name][near])


def test_losses_far_beyond_are_drawn_at_the_edge():
    losses = pd.DataFrame({"a": [1.0, 0.5], "sure": [36.0, 0.1]})
    given = {
        "by_stack": True,
        "truth": ["x", "y"],
        "positions": np.arange(2),
        "coloured": ["a", "sure"],
        "loss": "loss",
    }
    ax = Figure().subplots()
    HardestRowsDisplay(losses=losses, ranking=np.array([2.0, 1.0]), **given).plot(ax)
    np.testing.assert_allclose(marks(ax)["sure"], [3.0, 0.1])
    assert ax.get_xlabel() == "loss of the row, out of fold (at the edge: 3 and more)"
    near = Figure().subplots()
    HardestRowsDisplay(losses=losses.clip(upper=5), ranking=np.array([2.0, 1.0]), **given).plot(near)
    np.testing.assert_allclose(marks(near)["sure"], [5.0, 0.1])
    assert near.get_xlabel() == "loss of the row, out of fold"


def test_several_classes_and_no_index(classes, ax):
    display = HardestRowsDisplay.from_oof(classes.oof_, n_rows=4, ax=ax)
    row = display.rows_[0]
    truth = Y3[row]
    expected = -np.log(classes.oof_.train[row, truth])
    assert display.losses["logistic"].iloc[0] == pytest.approx(expected)
    assert named(ax.yaxis)[0].startswith(f"{row}: {truth}")


def test_numbers_have_absolute_errors(numbers, ax):
    display = HardestRowsDisplay.from_estimator(numbers, n_rows=3, ax=ax)
    p = cross_val_predict(RidgePoolRegressor(), numbers.oof_.train, PROGRESS, cv=KFold(4))
    hardest = np.argsort(-np.abs(p - PROGRESS))[:3]
    np.testing.assert_array_equal(display.rows_, hardest)
    np.testing.assert_allclose(display.table_["knn"], np.abs(numbers.oof_.train[hardest, 1] - PROGRESS[hardest]))
    assert display.truth == [f"{PROGRESS[i]:.4g}" for i in hardest]
    doubts = label_issues(numbers).set_index("position").loc[hardest]
    assert display.suggested == [f"{d.suggested:.4g}" if d.issue else "" for d in doubts.itertuples()]
    assert ax.get_xlabel() == "absolute error of the row, out of fold"


def test_several_outputs(ax):
    Y = np.column_stack([PROGRESS, -PROGRESS])
    oof = cross_fit([("ridge", Ridge())], DIABETES, Y, cv=3)
    display = HardestRowsDisplay.from_oof(oof, n_rows=2, ax=ax)
    row = display.rows_[0]
    assert display.losses["ridge"].iloc[0] == pytest.approx(np.abs(oof.train[row] - Y[row]).mean())
    assert display.truth[0] == f"{PROGRESS[row]:.4g}, {-PROGRESS[row]:.4g}"


def test_several_labels(ax):
    X, Y = make_multilabel_classification(90, 6, n_classes=3, random_state=0)
    oof = cross_fit([("knn", KNeighborsClassifier(15))], X, Y, cv=3)
    display = HardestRowsDisplay.from_oof(oof, n_rows=90, ax=ax)
    for i in (0, 40, 89):
        row = display.rows_[i]
        p = np.clip(np.where(Y[row] == 1, oof.train[row], 1 - oof.train[row]), np.finfo(float).eps, 1)
        assert display.losses["knn"].iloc[i] == pytest.approx(-np.log(p).mean())
        labels = ", ".join(map(str, np.flatnonzero(Y[row])))
        assert display.truth[i] == (f"labels {labels}" if labels else "no label")


def test_with_columns_passed_through_the_mean_over_the_learners_ranks(ax):
    model = StackingModel(three()[:2], LogisticRegression(), passthrough=True, cv=3).fit(X2, Y2)
    display = HardestRowsDisplay.from_estimator(model, ax=ax)
    mean = np.mean([losses_of(Y2, p) for p in model.oof_.train.T], axis=0)
    np.testing.assert_array_equal(display.rows_, np.argsort(-mean)[:20])
    np.testing.assert_allclose(display.table_["mean"], np.sort(mean)[::-1][:20])
    assert legend(ax)[0] == "mean over the learners"


def test_rows_that_nobody_predicted_are_not_hard(ax):
    oof = cross_fit(three(), X2, Y2, cv=TimeSeriesSplit(3))
    display = HardestRowsDisplay.from_oof(oof, n_rows=500, ax=ax)
    # Nor those that the stack cannot predict, for there is nothing before them that it could learn from.
    tested = [test for _, test in oof.folds.pairs]
    assert sorted(display.rows_) == np.concatenate(tested[1:]).tolist()
    learners = cross_fit([("margin", RidgeClassifier()), *three()], X2, Y2, cv=TimeSeriesSplit(3))
    display = HardestRowsDisplay.from_oof(learners, RidgeClassifier(), n_rows=500, ax=ax)
    assert sorted(display.rows_) == np.concatenate(tested).tolist()
    assert display.table_.drop(columns=["truth", "suggested"]).notna().all(axis=None)


def test_no_loss_on_a_row():
    oof = cross_fit([("margin", RidgeClassifier())], X2, Y2, cv=3)
    with pytest.raises(ValueError, match=r"needs a learner with a loss on each row, .*\['decision_function'\]. Use"):
        HardestRowsDisplay.from_oof(oof)


@pytest.mark.parametrize("n_rows", [0, 2.0, "all"])
def test_a_number_of_rows_that_is_none(binary, n_rows):
    with pytest.raises(ValueError, match=rf"'n_rows' parameter .* integer of at least 1; got {n_rows!r}. Use such as"):
        HardestRowsDisplay.from_estimator(binary, n_rows=n_rows)


def test_iris_by_name_has_the_second_level_of_its_own_folds(ax):
    X, y = load_iris(return_X_y=True, as_frame=True)
    oof = cross_fit([("bayes", GaussianNB())], X, y.map({0: "setosa", 1: "versicolor", 2: "virginica"}))
    display = HardestRowsDisplay.from_oof(oof, n_rows=1, ax=ax)
    assert display.truth[0] in ("versicolor", "virginica")
