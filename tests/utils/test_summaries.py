"""What results show of themselves: a few lines, the same in HTML, and names from the data as text."""

import pickle
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from spies import Fails, with_row_ids

from stackkit import ConvexClassifier, StackingModel, Store, cross_fit
from stackkit._utils import Summary
from stackkit.evaluation import diversity, nested_scores

NASTY = "<script>alert(1)</script>"
X, Y = load_iris(return_X_y=True)


def learners():
    return [(NASTY, GaussianNB()), ("knn", KNeighborsClassifier(30))]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One of each class, with a name that looks like markup in it."""
    upper = StackingModel([("upper", LogisticRegression())], ConvexClassifier())
    model = StackingModel(learners(), upper, levels="auto", cv=3, random_state=0).fit(X, Y)
    folder = tmp_path_factory.mktemp("store") / NASTY.replace("/", "")
    return {
        "OutOfFold": model.oof_,
        "LevelCheck": model.level_check_,
        "Diversity": diversity(model.oof_),
        "NestedScores": nested_scores(StackingModel(learners(), cv=3, random_state=0), X, Y, cv=3),
        "Store": Store(folder),
        "StoreInfo": Store(folder).info(),
    }


KINDS = ["OutOfFold", "LevelCheck", "Diversity", "NestedScores", "Store", "StoreInfo"]


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words += f" {data}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_a_few_lines_and_the_same_in_html(results, kind):
    text, page = repr(results[kind]), Page(results[kind]._repr_html_())
    assert text.startswith(kind.removesuffix("Info"))
    assert len(text) < 2000
    assert len(text.splitlines()) <= 20
    assert kind.removesuffix("Info") in page.words
    assert set(page.tags) <= {"div", "strong", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("kind", ["OutOfFold", "Diversity", "NestedScores", "Store", "StoreInfo"])
def test_names_from_the_data_are_text(results, kind):
    page = Page(results[kind]._repr_html_())
    assert "script" not in page.tags
    name = NASTY.replace("/", "") if kind.startswith("Store") else NASTY
    assert name in page.words
    assert name in repr(results[kind])


def test_a_result_with_its_summary_is_what_it_was(results):
    for kind in ("OutOfFold", "Diversity", "NestedScores", "LevelCheck"):
        copied = pickle.loads(pickle.dumps(results[kind]))
        assert repr(copied) == repr(results[kind])
        with pytest.raises(AttributeError):
            results[kind].new = 1


def test_the_means_are_those_of_the_folds(results):
    oof = results["OutOfFold"]
    for name in oof.blocks:
        mean = np.mean(oof.scores.loc[name, "log_loss"])
        assert f"{mean:.4g}" in repr(oof)
        assert f"{mean:.4g}" in oof._repr_html_()
    assert "150 rows x 6 columns, of 2 learners on 3 folds" in repr(oof)


def test_nested_scores_lead_with_the_verdict(results):
    nested = results["NestedScores"]
    title = "NestedScores: log_loss on 3 outer folds, lower is better"
    assert " ".join(repr(nested).split()).startswith(f"{title} {nested.verdict()}")
    assert nested.verdict() in Page(nested._repr_html_()).words


def test_a_table_tells_what_is_not_in_it():
    X2, y2 = make_classification(90, random_state=0)
    with pytest.warns(UserWarning, match="'fails'"):
        oof = cross_fit(
            [("bayes", GaussianNB()), ("fails", Fails(without_row=-1))],
            with_row_ids(X2),
            y2,
            cv=TimeSeriesSplit(2),
            X_test=with_row_ids(X2[:7]),
            on_error="drop",
        )
    facts = [line.strip() for line in repr(oof).splitlines()]
    for fact in ("target: 2 classes", "rows with a prediction: 60", "new rows predicted: 7", "failed: fails"):
        assert fact in facts
        assert fact in Page(oof._repr_html_()).words


@pytest.mark.parametrize(
    ("learner", "data", "target"),
    [
        (LinearRegression(), make_regression(60, 4, random_state=0), "numbers"),
        (LinearRegression(), make_regression(60, 4, n_targets=2, random_state=0), "numbers in 2 columns"),
        (KNeighborsClassifier(), make_multilabel_classification(60, 4, n_classes=3, random_state=0), "3 labels"),
    ],
)
def test_every_kind_of_target(learner, data, target):
    oof = cross_fit([learner], *data, cv=2)
    assert f"  target: {target}\n" in repr(oof)
    assert repr(diversity(oof)).startswith("Diversity of 1 learners in 0 pairs")


def test_many_learners_are_cut_and_counted():
    oof = cross_fit([(f"b{i}", GaussianNB(var_smoothing=10.0**-i)) for i in range(15)], X, Y, cv=2)
    for shown in (repr(oof), Page(oof._repr_html_()).words):
        assert "Mean over folds (the first 12 of 15)" in shown
        assert "b11" in shown
        assert "b12" not in shown
    assert len(repr(diversity(oof)).splitlines()) < 35


def test_numbers_are_short_and_what_is_missing_is_left_empty():
    table = pd.DataFrame({"a": [1 / 3, np.nan]}, index=pd.Index(["one", "two"], name="learner"))
    summary = Summary("Title", "A sentence.", {"fact": "5"}, {"Table": table, "Nothing": table[:0]})
    assert [line.split() for line in summary.as_text().splitlines()] == [
        ["Title"],
        ["A", "sentence."],
        ["fact:", "5"],
        ["Table:"],
        ["a"],
        ["one", "0.3333"],
        ["two"],
    ]
    assert Page(summary.as_html()).words.split() == [
        "Title",
        "A",
        "sentence.",
        "fact:",
        "5",
        "Table",
        "a",
        "one",
        "0.3333",
        "two",
    ]


def test_dollars_are_no_mathematics_in_a_notebook():
    assert summary_classes(Summary("$a$ and $b$")) == {"tex2jax_ignore", "mathjax_ignore"}


def summary_classes(summary):
    return set(summary.as_html().partition('class="')[2].partition('"')[0].split())


def test_a_store_shows_what_it_holds_and_no_key(tmp_path):
    store = Store(tmp_path / "kept", size_limit="2 GB", key="k" * 20)
    cross_fit([GaussianNB()], X, Y, cv=3, memory=store)
    for shown in (store, store.info()):
        words = Page(shown._repr_html_()).words
        assert f"folder: {tmp_path / 'kept'}" in words
        assert "entries: 3, in 3 tables and 3 models" in words
        assert "of at most 2.0 GB" in words
        assert "last used: 20" in words
        assert "k" * 20 not in words


def test_a_store_that_cannot_be_used_says_why(tmp_path):
    assert "The 'folder' parameter of a Store must be a path" in Page(Store("")._repr_html_()).words
    assert "last used: never" in Page(Store(tmp_path / "none")._repr_html_()).words
    assert not (tmp_path / "none").exists()
