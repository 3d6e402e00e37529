"""New rows with columns in another order, with texts for numbers, and with values that no training row had."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression

from stackkit import StackingClassifier, StackingModel, cross_fit, default_learners, load, save
from stackkit.exceptions import UnreadValuesWarning

N = 120
RNG = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "age": RNG.normal(size=N),
        "fare": RNG.exponential(size=N),
        "port": RNG.choice(["Cherbourg", "Queenstown", "Southampton"], N),
    }
)
Y = (X["age"] + (X["port"] == "Cherbourg") + RNG.normal(size=N) > 0).astype(int).to_numpy()


def _model(**settings):
    learners = [
        one for one in default_learners("classification", X, preset="best") if one[0] in ("logistic", "naive_bayes")
    ]
    return StackingClassifier(learners, **settings)


@pytest.fixture(scope="module")
def model():
    return _model().fit(X, Y)


def _silently(model, new):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.predict_proba(new)


# --- columns by name ------------------------------------------------------------------------------------


def test_columns_may_come_in_another_order(model):
    turned = X[["port", "age", "fare"]]
    assert_array_equal(_silently(model, turned), model.predict_proba(X))
    assert_array_equal(model.transform(turned), model.transform(X))
    assert_array_equal(model.compact().predict_proba(turned), model.predict_proba(X))
    assert model.score(turned, Y) == model.score(X, Y)
    frame = pl.DataFrame({name: X[name].to_list() for name in X})
    other = _model().fit(frame, Y)
    assert_array_equal(other.predict_proba(frame[["port", "age", "fare"]]), other.predict_proba(frame))


def test_cross_fit_takes_new_rows_by_name_too():
    new = X.iloc[:20]
    one, other = (cross_fit(_model().estimators, X, Y, X_test=rows) for rows in (new, new[["port", "age", "fare"]]))
    assert_array_equal(one.test, other.test)


def test_passed_through_columns_are_taken_by_name():
    model = StackingModel(_model().estimators, LogisticRegression(), passthrough=["fare"]).fit(X, Y)
    assert_array_equal(model.predict_proba(X[["fare", "port", "age"]]), model.predict_proba(X))


@pytest.mark.parametrize("columns", [["age", "fare"], ["age", "fare", "gate"], ["age", "fare", "port", "gate"]])
def test_other_columns_are_an_error(model, columns):
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.assign(gate=1.0)[columns])


# --- values ---------------------------------------------------------------------------------------------


def test_texts_for_numbers_are_counted_and_count_as_missing(model):
    new = X.astype({"age": object})
    new.loc[3, "age"], new.loc[5, "age"], new.loc[7, "age"] = "n/a", "unknown", None
    with pytest.warns(UnreadValuesWarning) as caught:
        found = model.predict_proba(new)
    (message,) = [str(warning.message) for warning in caught]
    assert message == (
        "New rows: 2 value(s) of the column 'age' are no numbers, such as 'n/a', 'unknown'. These count as missing."
    )
    missing = X.copy()
    missing.loc[[3, 5, 7], "age"] = np.nan
    assert_array_equal(found, _silently(model, missing))


def test_numbers_that_are_spelled_as_text_are_numbers(model):
    assert_array_equal(_silently(model, X.assign(age=X["age"].map(repr))), model.predict_proba(X))


def test_a_column_without_a_value_is_told(model):
    empty = X.assign(port=None)
    with pytest.warns(UnreadValuesWarning, match=r"the column 'port' has no value in 120 rows\. These count"):
        model.predict(empty)
    _silently(model, empty.iloc[:5])


def test_it_is_known_after_saving_and_in_the_compact_form(model, tmp_path):
    new = X.assign(age="old")
    for one in (load(save(model, tmp_path / "kept.stackkit")), model.compact()):
        with pytest.warns(UnreadValuesWarning, match=r"120 value\(s\) of the column 'age'"):
            one.predict(new)


def test_new_categories_are_told_once_with_their_number(capsys):
    model = _model(verbose=True).fit(X, Y)
    capsys.readouterr()
    new = X.copy()
    new.loc[:6, "port"] = ["Belfast", "Belfast", "Dover", "Hull", "Leith", None, "Dover"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(new)
    assert capsys.readouterr().err == (
        "stackkit: the column 'port' has 4 value(s) in 6 new row(s) that no training row had: 'Belfast', 'Dover', "
        "'Hull', ...\n"
    )
    model.set_params(verbose=False).predict(new)
    assert capsys.readouterr().err == ""


def test_texts_that_are_nearly_all_different_are_not_expected_to_come_again(capsys):
    tickets = X.assign(port=[f"ticket-{i // 1.5:.0f}" for i in range(N)])
    model = _model(verbose=True).fit(tickets, Y)
    capsys.readouterr()
    model.predict(tickets.assign(port="another"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("n_jobs", ["all", 0, 1.5, True])
@pytest.mark.parametrize("door", ["fit", "cross_fit"])
def test_numbers_of_workers_that_are_none(n_jobs, door):
    with pytest.raises(ValueError, match="'n_jobs' parameter must be a number of workers, -1 for all cores, or None"):
        _model(n_jobs=n_jobs).fit(X, Y) if door == "fit" else cross_fit(_model().estimators, X, Y, n_jobs=n_jobs)
