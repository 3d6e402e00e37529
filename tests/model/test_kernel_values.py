"""Kernel machines with one matrix product less: the same predictions, up to rounding, and only where all is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import StackingModel, load, save
from stackkit._learners import KernelMap, scaled_preprocessing
from stackkit._members import in_steps
from stackkit._model.kernel_values import BLOCK_ROWS, KernelValues, without_second_product

RNG = np.random.default_rng(0)
N = 90
X = pd.DataFrame(RNG.normal(size=(N, 3)), columns=list("abc")).assign(d=RNG.choice(["x", "y", None], N))
VALUES = np.sin(2 * X["a"]).to_numpy() + (X["d"] == "x")
TARGETS = {"two": (VALUES > 0.5).astype(int), "three": np.digitize(VALUES, [0, 0.8]), "numbers": VALUES}


def machine(kind):
    last = RidgeCV() if kind == "numbers" else LogisticRegression(C=30.0, max_iter=200)
    return make_pipeline(scaled_preprocessing(), KernelMap(40, random_state=0), last)


def answers(model, rows):
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


@pytest.mark.parametrize("n_rows", [1, BLOCK_ROWS, 2 * BLOCK_ROWS + 3])
def test_values_of_the_kernel_are_scikit_learns(n_rows):
    rows, compared = RNG.normal(size=(n_rows, 4)), RNG.normal(size=(20, 4))
    rows[0] = compared[3]  # where the distance is 0, up to rounding
    found = KernelValues(compared, 0.3).transform(rows)
    np.testing.assert_allclose(found, rbf_kernel(rows, compared, gamma=0.3), rtol=1e-13)
    assert found.max() <= 1


@pytest.mark.parametrize("kind", TARGETS)
def test_machines_predict_the_same_with_one_product_less(kind):
    fitted = machine(kind).fit(X, TARGETS[kind])
    given = in_steps(fitted)
    weights = given[1].coef_.copy()
    (front, values), linear = without_second_product(*given)
    assert front is fitted[0]
    assert isinstance(values, KernelValues)
    found = answers(linear, values.transform(front.transform(X)))
    np.testing.assert_allclose(found, answers(fitted, X), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(given[1].coef_, weights)  # the model's own is left as it was


@pytest.mark.parametrize(
    "steps",
    [
        [StandardScaler(), KernelMap(10), LogisticRegression()],  # may be given what is no table of numbers
        [scaled_preprocessing(), StandardScaler(), KernelMap(10), LogisticRegression()],
        [scaled_preprocessing(), KernelMap(10), Ridge()],
        [scaled_preprocessing(), LogisticRegression()],
    ],
    ids=["another front", "a step between", "another model", "no kernel"],
)
def test_all_others_stay_as_they_are(steps):
    given = in_steps(make_pipeline(*steps).fit(X[["a", "b"]], TARGETS["two"]))
    assert without_second_product(*given) == given


@pytest.mark.parametrize("kind", TARGETS)
def test_compact_models_have_them_and_come_back_from_a_file(kind, tmp_path):
    model = StackingModel([("kernel", machine(kind))], cv=3, random_state=0, n_jobs=1).fit(X, TARGETS[kind])
    compact = model.compact()
    assert all(isinstance(front[-1], KernelValues) for front in compact.transformers_["kernel"])
    np.testing.assert_allclose(answers(compact, X), answers(model, X), rtol=0, atol=1e-8)
    again = load(save(compact, tmp_path / "compact.model"))
    np.testing.assert_array_equal(answers(again, X), answers(compact, X))
    np.testing.assert_array_equal(answers(model.compact(pack=False), X), answers(model, X))
