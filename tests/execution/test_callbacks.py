"""scikit-learn's callbacks: the tree of a stack's fit, near and far."""

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import StackingModel
from stackkit._execution.callbacks import NOBODY, listeners_of, without_callbacks
from stackkit._execution.tasks import Task

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brought callbacks")


class Notes:
    """Writes down the path of each node that it hears of; in threads or this process only."""

    def __init__(self, depth=None):
        self.max_propagation_depth = depth
        self.began, self.ended = [], []

    def setup(self, estimator, context):
        self.root = context.estimator_name

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_begin(self, estimator, context):
        self.began.append(self._path(context))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(self._path(context))

    @staticmethod
    def _path(context):
        return "/".join(node.source_task_name or node.task_name for node in _lineage(context))


def _lineage(node):
    return [] if node is None else [*_lineage(node.parent), node]


def _data(n=90):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)


def _model(**options):
    learners = [("bayes", GaussianNB()), ("logistic", LogisticRegression())]
    return StackingModel(learners, LogisticRegression(), cv=3, **options)


TASKS = [f"fit/learners/{name}, fold {fold}" for name in ("bayes", "logistic") for fold in range(3)]


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_the_tree_has_stages_and_a_node_for_each_task(backend):
    notes = Notes(depth=0)
    with joblib.parallel_config(backend=backend):
        _model(n_jobs=2).set_callbacks(notes).fit(*_data())
    assert sorted(notes.began) == sorted(["fit", "fit/learners", *TASKS, "fit/final_estimator"])
    assert sorted(notes.ended) == sorted(notes.began)
    assert notes.began[0] == notes.ended[-1] == "fit"
    assert notes.torn_down


def test_the_model_is_fitted_when_the_end_is_told():
    """Callbacks may ask it, as scikit-learn's estimators are asked."""

    class Asks(Notes):
        def on_fit_task_end(self, estimator, context):
            super().on_fit_task_end(estimator, context)
            if self.ended[-1] == "fit":
                self.predicted = estimator.predict(X)

    asks, (X, y) = Asks(depth=0), _data()
    model = _model().set_callbacks(asks).fit(X, y)
    np.testing.assert_array_equal(asks.predicted, model.predict(X))


def test_learners_with_steps_of_their_own_tell_them_below_their_node():
    notes = Notes()
    _model().set_callbacks(notes).fit(*_data())
    assert any(path.startswith("fit/learners/logistic, fold 1/") for path in notes.began)
    assert not any(path.startswith("fit/learners/bayes, fold 1/") for path in notes.began)


def test_fitted_learners_keep_nothing_of_the_stack_s_callbacks():
    model = _model().set_callbacks(Notes()).fit(*_data())
    fitted = [*model.members_["logistic"], model.final_estimator_]
    assert not [name for member in fitted for name in vars(member) if "callback" in name and vars(member)[name]]


def test_refits_are_a_stage():
    notes = Notes(depth=0)
    StackingModel([("bayes", GaussianNB())], cv=3, refit=True).set_callbacks(notes).fit(*_data())
    assert "fit/refits/bayes, fold -1" in notes.ended


def test_what_the_store_knows_is_told_too(tmp_path):
    X, y = _data()
    _model(memory=tmp_path).fit(X, y)
    notes = Notes(depth=0)
    _model(memory=tmp_path).set_callbacks(notes).fit(X, y)
    assert set(TASKS) <= set(notes.ended)


def test_a_progress_bar_reaches_over_processes(capsys):
    _model(n_jobs=2).set_callbacks(callback.ProgressBar()).fit(*_data())
    shown = capsys.readouterr().out
    assert "learners" in shown
    assert "logistic, fold 2" in shown


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_learner_s_own_monitor_works(n_jobs):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    learner = LogisticRegression().set_callbacks(monitor)
    StackingModel([("logistic", learner)], cv=2, n_jobs=n_jobs).fit(*_data())
    assert monitor.get_logs().data


def test_a_stack_is_a_node_of_whatever_fits_it():
    notes = Notes(depth=1)
    GridSearchCV(_model(), {"final_estimator__C": [1, 2]}, cv=2).set_callbacks(notes).fit(*_data())
    assert any(path.endswith("learners/bayes, fold 2") for path in notes.ended)


def test_results_are_the_same_with_callbacks():
    X, y = _data()
    plain, told = _model().fit(X, y), _model().set_callbacks(Notes()).fit(X, y)
    np.testing.assert_array_equal(plain.predict_proba(X), told.predict_proba(X))


def test_other_machines_get_no_callbacks():
    inner = LogisticRegression().set_callbacks(Notes())
    learner = make_pipeline(StandardScaler(), inner).set_callbacks(Notes())
    sent = without_callbacks(Task("logistic", learner, (0,), node="a node"))
    assert sent.node is None
    assert not hasattr(sent.learner, "_skl_callbacks")
    assert not hasattr(sent.learner[-1], "_skl_callbacks")
    assert hasattr(inner, "_skl_callbacks")  # the user's own keeps its


def test_without_callbacks_nobody_listens():
    assert listeners_of(_model(), 2) is NOBODY
