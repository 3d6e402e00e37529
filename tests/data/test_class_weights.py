"""Class weights by the user's labels, whatever codes a learner sees in a fold."""

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from spies import Together

from stackkit import StackingModel, cross_fit, store_info
from stackkit._assessment.marginal import second_level
from stackkit._data.class_weights import check_class_weights, class_weights_coded
from stackkit._data.target import check_target
from stackkit._members.fitting import fit_member
from stackkit.nn import BNMLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::stackkit.exceptions.MissingClassWarning")

N = 150
RNG = np.random.default_rng(0)
TWO, THREE = np.arange(N) % 2, np.arange(N) % 3
X = RNG.normal(size=(N, 3)) + 0.5 * np.column_stack([TWO, THREE, -THREE])
FOLDS = list(StratifiedKFold(3).split(X, THREE))
ROWS = np.arange(N)


def _lacking(code, codes=THREE):
    """Folds of which the first trains without a class."""
    train = FOLDS[0][0]
    without = train[codes[train] != code]
    return [(without, np.setdiff1d(ROWS, without)), *FOLDS[1:]]


def _by_hand(learner, labels, weights, cv, parameter="class_weight"):
    """scikit-learn on the user's labels, fold by fold; one column per class, but for the first of two."""
    classes = np.unique(labels)
    table, times = np.zeros((N, len(classes))), np.zeros((N, 1))
    for train, test in cv:
        here = {label: weight for label, weight in weights.items() if label in labels[train]}
        model = clone(learner).set_params(**({parameter: here} if parameter else {})).fit(X[train], labels[train])
        table[np.ix_(test, np.searchsorted(classes, model.classes_))] += model.predict_proba(X[test])
        times[test] += 1
    table /= times
    return table[:, 1:] if len(classes) == 2 else table


def _agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


class Spy(LogisticRegression):
    """Remembers the weights that it had in fit."""

    def fit(self, X, y, sample_weight=None):
        self.had_ = self.class_weight
        return super().fit(X, y, sample_weight)


class SpyTogether(Together):
    """Fits all folds with the weights that it has then, and gives back clones of itself."""

    def __init__(self, class_weight=None):
        super().__init__()
        self.class_weight = class_weight

    def fit_folds(self, X, y, folds, sample_weight=None):
        models = [clone(self).fit(X[rows], y[rows]) for rows in folds]
        for model in models:
            model.had_ = model.class_weight
        return models


# --- the right class ------------------------------------------------------------------------------------

TWO_LABELS = {
    "1 and 2": (np.array([1, 2]), {1: 10}),
    "both of 1 and 2": (np.array([1, 2]), {1: 10, 2: 0.5}),
    "text": (np.array(["no", "yes"]), {"yes": 10}),
    "text as objects": (np.array(["no", "yes"], dtype=object), {np.str_("no"): 10}),
    "floats that are integers": (np.array([1.0, 2.0]), {1: 10}),
    "integers, keys that are floats": (np.array([1, 2]), {1.0: 10}),
    "integers, keys of numpy": (np.array([1, 2]), {np.int8(1): 10}),
    "-1 and 1": (np.array([-1, 1]), {-1: 10, 1: 0.5}),
    "0 and 5": (np.array([0, 5]), {5: 10}),
}


@pytest.mark.parametrize("case", TWO_LABELS)
def test_keys_are_the_users_labels(case):
    names, weights = TWO_LABELS[case]
    labels, cv = names[TWO], KFold(3)
    found = cross_fit([LogisticRegression(class_weight=weights)], X, labels, cv=cv).train
    _agree(found, _by_hand(LogisticRegression(), labels, weights, list(cv.split(X))))


def test_keys_may_be_bools():
    labels, cv = TWO.astype(bool), KFold(3)
    found = cross_fit([LogisticRegression(class_weight={True: 10})], X, labels, cv=cv).train
    _agree(found, _by_hand(LogisticRegression(), labels, {True: 10}, list(cv.split(X))))


@pytest.mark.parametrize("lacks", [0, 1, 2])
@pytest.mark.parametrize("weights", [{2: 10}, {1: 3, 2: 10}, {0: 10}, {0: 0.1, 1: 4, 2: 10}], ids=str)
def test_weights_keep_their_class_where_a_fold_lacks_one(weights, lacks):
    cv = _lacking(lacks)
    found = cross_fit([LogisticRegression(class_weight=weights)], X, THREE, cv=cv).train
    _agree(found, _by_hand(LogisticRegression(), THREE, weights, cv))


@pytest.mark.parametrize("lacks", [0, 1, 2])
def test_so_do_those_by_label(lacks):
    labels, cv = np.array(["ash", "birch", "oak"])[THREE], _lacking(lacks)
    weights = {"birch": 3, "oak": 10}
    found = cross_fit([LogisticRegression(class_weight=weights)], X, labels, cv=cv).train
    _agree(found, _by_hand(LogisticRegression(), labels, weights, cv))


def test_keys_that_are_no_labels_may_be_codes():
    """As scikit-learn's own stackers take them; in a fold that lacks a class the codes are others."""
    labels, cv = np.array(["ash", "birch", "oak"])[THREE], _lacking(0)
    found = cross_fit([LogisticRegression(class_weight={1: 3, np.int64(2): 10.0})], X, labels, cv=cv).train
    _agree(found, _by_hand(LogisticRegression(), labels, {"birch": 3, "oak": 10}, cv))


def test_labels_win_where_keys_could_be_both():
    labels = THREE + 1
    found = cross_fit([LogisticRegression(class_weight={1: 10, 2: 3})], X, labels, cv=FOLDS).train
    _agree(found, _by_hand(LogisticRegression(), labels, {1: 10, 2: 3}, FOLDS))


def test_codes_of_labels_that_are_digits():
    """Where 1 is the code of "1" it means that; where a key can be nothing but a code, it is one."""
    for names, weights in (("012", {1: 5}), ("123", {0: 1, 1: 5})):
        labels = np.array(list(names))[THREE]
        found = cross_fit([LogisticRegression(class_weight=weights)], X, labels, cv=_lacking(0)).train
        _agree(found, _by_hand(LogisticRegression(), THREE, weights, _lacking(0)))


PARTS = {
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), "logisticregression__class_weight"),
    "two pipelines": (
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression())),
        "pipeline__logisticregression__class_weight",
    ),
    "step before": (
        make_pipeline(SelectFromModel(LogisticRegression(), max_features=1), GaussianNB()),
        "selectfrommodel__estimator__class_weight",
    ),
    "calibrated": (CalibratedClassifierCV(LogisticRegression(), cv=3), "estimator__class_weight"),
    "calibrated pipeline": (
        CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), cv=3),
        "estimator__logisticregression__class_weight",
    ),
    "forest": (RandomForestClassifier(5, max_depth=2, random_state=0), "class_weight"),
    "search": (GridSearchCV(LogisticRegression(), {"C": [1.0, 0.1]}, cv=3), "estimator__class_weight"),
}


@pytest.mark.parametrize("part", PARTS)
def test_however_deep(part):
    learner, parameter = PARTS[part]
    labels, cv, weights = np.array(["ash", "birch", "oak"])[THREE], _lacking(0), {"birch": 1, "oak": 10}
    given = clone(learner).set_params(**{parameter: weights})
    oof = cross_fit([("it", given)], X, labels, cv=cv)
    _agree(oof.train, _by_hand(learner, labels, weights, cv, parameter))
    for member in oof.members["it"]:
        assert member.get_params()[parameter] == weights


def test_learners_of_scikit_learn_that_code_classes_themselves():
    """Alone they take codes, not labels; inside a stack both mean the class."""
    labels, cv, weights = np.array(["ash", "birch", "oak"])[THREE], _lacking(0), {"birch": 1, "oak": 10}
    voting = VotingClassifier([("logit", LogisticRegression())], voting="soft")
    expected = _by_hand(LogisticRegression(), labels, weights, cv)
    given = clone(voting).set_params(logit__class_weight=weights)
    _agree(cross_fit([given], X, labels, cv=cv).train, expected)
    bagging = BaggingClassifier(LogisticRegression(class_weight=weights), 1, bootstrap=False)
    _agree(cross_fit([bagging], X, labels, cv=cv).train, expected)


GRID = {"class_weight": [{"birch": 1, "oak": 10}], "C": [1.0, 0.1]}
SEARCHES = {
    "grid": GridSearchCV(LogisticRegression(), GRID, cv=3),
    "list of grids": GridSearchCV(LogisticRegression(), [{"C": [1e-3]}, GRID], cv=3, scoring="balanced_accuracy"),
    "random": RandomizedSearchCV(LogisticRegression(), GRID, cv=3, n_iter=2, random_state=0),
    "pipeline": GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__class_weight": [None, "balanced", {"oak": 30}]},
        cv=3,
        scoring="recall_macro",
        refit=lambda _: 2,  # the dict
    ),
}


@pytest.mark.parametrize("search", SEARCHES)
def test_dicts_that_a_search_tries(search):
    labels, given = np.array(["ash", "birch", "oak"])[THREE], SEARCHES[search]
    oof = cross_fit([("search", make_pipeline(given))], X, labels, cv=FOLDS)
    _agree(oof.train, _by_hand(given, labels, {}, FOLDS, parameter=None))
    grid = "param_distributions" if search == "random" else "param_grid"
    for member in oof.members["search"]:
        assert getattr(member[-1], grid) == getattr(given, grid)
        assert np.isfinite(member[-1].cv_results_["mean_test_score"]).all()


def test_dicts_that_a_search_tries_where_a_fold_lacks_a_class():
    search = GridSearchCV(LogisticRegression(), {"class_weight": ({1: 1, 2: 10},)}, cv=3)
    weights, cv = {1: 1, 2: 10}, _lacking(0)
    _agree(cross_fit([search], X, THREE, cv=cv).train, _by_hand(LogisticRegression(), THREE, weights, cv))


# --- networks, all folds at once -------------------------------------------------------------------------

NET = BNMLPClassifier((8,), max_epochs=3, dtype="float64", random_state=0)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("lacks", [None, 0, 2])
@pytest.mark.parametrize("weights", [{3: 10.0}, {1: 0.5, 2: 3, 3: 10.0}], ids=str)
def test_networks_of_all_folds(weights, lacks, early_stopping):
    labels, cv = THREE + 1, FOLDS if lacks is None else _lacking(lacks)
    net = clone(NET).set_params(early_stopping=early_stopping)
    oof = cross_fit([("net", clone(net).set_params(class_weight=weights))], X, labels, cv=cv)
    by_row = np.array([weights.get(label, 1) for label in labels], dtype=float)
    expected = cross_fit([("net", net)], X, labels, cv=cv, sample_weight=by_row)
    _agree(oof.train, expected.train)
    assert all(member.class_weight == weights for member in oof.members["net"])


@pytest.mark.parametrize("lacks", [0, 1])
def test_networks_after_preprocessing(lacks):
    """Steps before the network weigh classes too, and see those of one fold alone."""
    labels, cv, weights = np.array(["ash", "birch", "oak"])[THREE], _lacking(lacks), {"ash": 20}
    front = SelectFromModel(LogisticRegression(), threshold=-np.inf)
    given = make_pipeline(clone(front).set_params(estimator__class_weight=weights), NET)
    members = cross_fit([("net", given)], X, labels, cv=cv).members["net"]
    for member, (train, _) in zip(members, cv, strict=True):
        here = {label: weight for label, weight in weights.items() if label in labels[train]}
        expected = LogisticRegression(class_weight=here).fit(X[train], labels[train])
        _agree(member[0].estimator_.coef_, expected.coef_)
        assert member[0].get_params()["estimator__class_weight"] == weights


def test_networks_alone_take_a_fold_that_lacks_a_class():
    """The keys are labels of y; each fold's rows have some of them."""
    labels, folds = np.array(["ash", "birch", "oak"])[THREE], [train for train, _ in _lacking(0)]
    found = clone(NET).set_params(class_weight={"ash": 10.0}).fit_folds(X, labels, folds)
    by_row = np.where(labels == "ash", 10.0, 1.0)
    for model, expected in zip(found, NET.fit_folds(X, labels, folds, sample_weight=by_row), strict=True):
        _agree(model.predict_proba(X), expected.predict_proba(X))
    with pytest.raises(ValueError, match="not in class_weight"):  # as scikit-learn
        clone(NET).set_params(class_weight={"elm": 10.0}).fit_folds(X, labels, folds)


def test_learners_of_the_users_own_that_fit_all_folds():
    """All classes have a weight then: the folds see codes of classes that they may lack."""
    cv = _lacking(0)
    for learner in (SpyTogether({1: 10}), make_pipeline(StandardScaler(), SpyTogether({1: 10}))):
        members = [member[-1] if hasattr(member, "steps") else member
                   for member in cross_fit([("it", learner)], X, THREE + 1, cv=cv).members["it"]]  # fmt: skip
        assert [member.had_ for member in members] == [{0: 10, 1: 1, 2: 1}] * 3
        assert [member.class_weight for member in members] == [{1: 10}] * 3


# --- the final estimator, and stacks within stacks ---------------------------------------------------------

YES = np.array(["no", "yes"])[TWO]


def _stacked(final, labels, cv, **options):
    return StackingModel(
        [("tree", DecisionTreeClassifier(max_depth=2)), ("bayes", GaussianNB())], final, cv=cv, **options
    ).fit(X, labels)


@pytest.mark.parametrize(
    ("labels", "weights"), [(YES, {"yes": 10}), (TWO + 1, {1: 10}), (YES, {1: 10})], ids=["text", "numbers", "codes"]
)
def test_the_final_estimator_weighs_by_label(labels, weights):
    model = _stacked(LogisticRegression(class_weight=weights), labels, FOLDS)
    heavy = np.unique(labels)[1] if labels is YES else 1
    expected = LogisticRegression(class_weight={heavy: 10}).fit(model.oof_.train, labels)
    _agree(model.final_estimator_.coef_, expected.coef_)
    assert model.final_estimator_.class_weight == weights
    np.testing.assert_array_equal(model.predict(X), expected.predict(model.transform(X)))


def test_figures_of_the_second_level_do_too():
    model = _stacked(LogisticRegression(class_weight={"yes": 10}), YES, FOLDS)
    found = second_level(model.final_estimator_, model.oof_).train[:, 0]
    for train, test in FOLDS:
        expected = LogisticRegression(class_weight={"yes": 10}).fit(model.oof_.train[train], YES[train])
        _agree(found[test], expected.predict_proba(model.oof_.train[test])[:, 1])
    assert np.isfinite(model.leaderboard(marginal=True)["marginal"].drop("stack")).all()


@pytest.mark.parametrize("of", ["stackkit", "scikit-learn"])
def test_a_stack_as_a_learner(of):
    """It sees codes as its y, and so do its own learners and its final estimator."""
    labels, cv, inner = THREE + 1, _lacking(0), KFold(3, shuffle=True, random_state=0)
    low, high = {2: 1, 3: 10}, {2: 8, 3: 2}
    parts = [("logit", LogisticRegression(class_weight=low))], LogisticRegression(class_weight=high)
    ours = StackingModel(*parts, cv=inner, refit=True)
    given = ours if of == "stackkit" else StackingClassifier(*parts, cv=inner)
    oof = cross_fit([("stack", given)], X, labels, cv=cv)
    expected = np.zeros((N, 3))
    for train, test in cv:
        classes, codes = np.unique(labels[train], return_inverse=True)
        by_code = [
            {int(np.searchsorted(classes, label)): weights[label] for label in weights} for weights in (low, high)
        ]
        logits = [LogisticRegression(class_weight=weights) for weights in by_code]
        plain = StackingClassifier([("logit", logits[0])], logits[1], cv=inner).fit(X[train], codes)
        expected[np.ix_(test, classes - 1)] += plain.predict_proba(X[test])
    expected /= np.bincount(np.concatenate([test for _, test in cv]))[:, np.newaxis]
    _agree(oof.train, expected)
    for member in oof.members["stack"]:
        assert (member.get_params()["logit__class_weight"], member.final_estimator.class_weight) == (low, high)
    if of == "stackkit":
        member = oof.members["stack"][0]  # its own figures stay with what it saw
        assert np.isfinite(member.leaderboard(marginal=True)["log_loss"]).all()


def test_a_stack_as_the_final_estimator():
    upper = StackingModel([LogisticRegression(class_weight={"yes": 10})], LogisticRegression(class_weight={"no": 3}))
    model = _stacked(upper, YES, FOLDS)
    inner = model.final_estimator_
    for member, (train, _) in zip(inner.members_["logisticregression"], inner.oof_.folds.pairs, strict=True):
        expected = LogisticRegression(class_weight={"yes": 10}).fit(model.oof_.train[train], YES[train])
        _agree(member.coef_, expected.coef_)
    _agree(inner.final_estimator_.coef_, LogisticRegression(class_weight={"no": 3}).fit(inner.oof_.train, YES).coef_)
    assert inner.get_params()["logisticregression__class_weight"] == {"yes": 10}


# --- what the user gave -------------------------------------------------------------------------------------


def test_the_learner_has_codes_while_it_is_fitted_and_the_users_labels_again_afterwards():
    given = {"birch": 3, "oak": 10}
    learner = Spy(class_weight=given)
    oof = cross_fit([learner], X, np.array(["ash", "birch", "oak"])[THREE], cv=_lacking(1))
    assert [member.had_ for member in oof.members["spy"]] == [{1: 10}, {1: 3, 2: 10}, {1: 3, 2: 10}]
    assert [member.class_weight for member in oof.members["spy"]] == [given] * 3
    assert learner.class_weight is given
    assert given == {"birch": 3, "oak": 10}


def test_also_when_the_fit_fails():
    learner, target = Spy(class_weight={2: 10}, C=-1), check_target(TWO + 1, "classification", N)
    with class_weights_coded(learner, target):
        assert learner.class_weight == {0: 1, 1: 10}
    with pytest.raises(ValueError, match="'C' parameter"):
        fit_member(learner, X, target, ROWS, {})
    assert learner.class_weight == {2: 10}


def test_a_refit_and_worker_processes_weigh_the_same():
    model = _stacked(LogisticRegression(), YES, FOLDS, refit=True, n_jobs=2)
    weighed = model.set_params(tree=LogisticRegression(class_weight={"yes": 10})).fit(X, YES)
    expected = LogisticRegression(class_weight={"yes": 10}).fit(X, YES)
    _agree(weighed.members_["tree"][0].coef_, expected.coef_)
    _agree(weighed.oof_.train[:, [0]], _by_hand(LogisticRegression(), YES, {"yes": 10}, FOLDS))


def test_the_store_knows_weights_as_given(tmp_path):
    def n_entries(weights, labels=YES):
        cross_fit([LogisticRegression(class_weight=weights)], X, labels, cv=FOLDS, memory=tmp_path)
        return store_info(tmp_path).n_entries

    first = n_entries({"yes": 10})
    assert n_entries({"yes": 10}) == first
    second = n_entries({"yes": 9})
    assert second == 2 * first
    assert n_entries({"yes": 10}) == second
    assert n_entries({2: 10}, TWO + 1) == n_entries({2: 10}, TWO + 1) == 3 * first


# --- what is left alone --------------------------------------------------------------------------------------


def test_one_class_against_the_others():
    """Its estimators see 1 and 0, alone as in a stack, and their weights speak of that."""
    learner, cv = OneVsRestClassifier(LogisticRegression(class_weight={0: 1, 1: 10})), _lacking(0)
    for labels in (THREE, THREE + 1, np.array(["ash", "birch", "oak"])[THREE]):
        _agree(cross_fit([learner], X, labels, cv=cv).train, _by_hand(learner, labels, {}, cv, parameter=None))
    search = GridSearchCV(OneVsRestClassifier(LogisticRegression()), {"estimator__class_weight": [{1: 10}]}, cv=3)
    _agree(cross_fit([search], X, TWO + 1, cv=FOLDS).train, _by_hand(search, TWO + 1, {}, FOLDS, parameter=None))


def test_what_is_fitted_already():
    fitted = LogisticRegression(class_weight={"yes": 10, "maybe": 2, "no": 1}).fit(X, YES)
    oof = cross_fit([("prefit", FrozenEstimator(fitted))], X, YES, cv=FOLDS)
    _agree(oof.train[:, 0], fitted.predict_proba(X)[:, 1])


def test_words_and_lists():
    for learner in (LogisticRegression(class_weight="balanced"), RandomForestClassifier(3, class_weight=None)):
        target = check_target(YES, "classification", N)
        with class_weights_coded(learner, target):
            assert learner.class_weight in ("balanced", None)
    indicator = np.column_stack([TWO, THREE > 0]).astype(int)
    forest = RandomForestClassifier(3, class_weight=[{0: 1, 1: 5}, {0: 1, 1: 2}], random_state=0)
    chain = MultiOutputClassifier(LogisticRegression(class_weight={1: 10}))
    members = cross_fit([("forest", forest), ("logits", chain)], X, indicator, cv=3).members
    assert members["forest"][0].class_weight == forest.class_weight
    assert members["logits"][0].estimators_[0].class_weight == {1: 10}


class WeighsNumbers(LinearRegression):
    """Has something of that name to do with numbers."""

    def __init__(self, class_weight=None):
        super().__init__()
        self.class_weight = class_weight

    def fit(self, X, y):
        self.had_ = self.class_weight
        return super().fit(X, y)


def test_regressors():
    learners = [("numbers", WeighsNumbers({7: 1})), ("bayes", GaussianNB())]
    members = cross_fit(learners, X, TWO + 1, cv=3).members["numbers"]
    assert members[0].had_ == {7: 1}
    check_class_weights([("numbers", Ridge()), *learners], check_target(X[:, 0], "regression", N))


# --- what fits neither ------------------------------------------------------------------------------------------

CURE = "Use the labels as they are in y, and leave out classes that it does not have."
SHOWN = "must have labels of y as its keys, all of them among ['no', 'yes'], or codes of these, 0 to 1; got the keys "
REFUSED = {
    "no label": (
        [("logit", LogisticRegression(class_weight={"yes": 3, "yess": 1}))],
        f"parameter of the learner 'logit' (LogisticRegression) {SHOWN}['yes', 'yess']. {CURE} Did you mean 'yes'?",
    ),
    "no code": (
        [("tree", DecisionTreeClassifier(class_weight={0: 1, np.int64(2): 3}))],
        f"The 'class_weight' parameter of the learner 'tree' (DecisionTreeClassifier) {SHOWN}[0, 2]. Use the labels",
    ),
    "label and code": (
        [("logit", LogisticRegression(class_weight={"no": 1, 1: 3}))],
        f"the learner 'logit' (LogisticRegression) {SHOWN}['no', 1]",
    ),
    "deep": (
        [("deep", make_pipeline(StandardScaler(), CalibratedClassifierCV(LogisticRegression(class_weight={5: 1}))))],
        "The 'calibratedclassifiercv__estimator__class_weight' parameter of the learner 'deep' (Pipeline) must",
    ),
    "stack": (
        [("stack", StackingModel([("logit", LogisticRegression(class_weight={5: 1}))]))],
        "The 'logit__class_weight' parameter of the learner 'stack' (StackingModel) must",
    ),
    "search": (
        [("search", GridSearchCV(make_pipeline(LogisticRegression()), {"logisticregression__class_weight": [{5: 1}]}))],
        "The \"param_grid['logisticregression__class_weight']\" parameter of the learner 'search' (GridSearchCV) must",
    ),
}


class Never(GaussianNB):
    """Is not to be fitted."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError


@pytest.mark.parametrize("case", REFUSED)
def test_what_fits_neither_is_refused_before_anything_is_fitted(case):
    learners, message = REFUSED[case]
    learners = [("never", Never()), *learners]
    with pytest.raises(ValueError, match=re.escape(message)):
        cross_fit(learners, X, YES, on_error="drop")
    with pytest.raises(ValueError, match=re.escape(message)):
        StackingModel(learners, LogisticRegression(), on_error="drop").fit(X, YES)


def test_classes_that_only_other_rows_have_are_no_mistake():
    """As inside a cross-validation one of whose parts lacks a class: scikit-learn takes weights of all classes."""
    weights = {"maybe": 5, "no": 1, "yes": 3}
    found = cross_fit([LogisticRegression(class_weight=weights)], X, YES, cv=3).train
    del weights["maybe"]
    np.testing.assert_array_equal(found, cross_fit([LogisticRegression(class_weight=weights)], X, YES, cv=3).train)


def test_of_the_final_estimator_too():
    message = f"The 'class_weight' parameter of the final_estimator (LogisticRegression) {SHOWN}['maybe']"
    with pytest.raises(ValueError, match=re.escape(message)):
        StackingModel([Never()], LogisticRegression(class_weight={"maybe": 3})).fit(X, YES)
    upper = StackingModel([GaussianNB()], LogisticRegression(class_weight={"maybe": 3}))
    with pytest.raises(ValueError, match="'final_estimator__class_weight' parameter of the final_estimator"):
        StackingModel([Never()], upper).fit(X, YES)


@pytest.mark.parametrize(
    ("labels", "weights", "hint"),
    [
        (TWO + 1, {"1": 3, "2": 1}, "The key '1' is of the type str, the label 1 int."),
        (np.array(["1", "2"])[TWO], {1: 3}, "The key 1 is of the type int, the label '1' str."),
        (np.array(["1", "2"])[TWO], {1: 3, 2: 1}, "The key 1 is of the type int, the label '1' str."),
        (TWO.astype(bool), {"True": 3}, "The key 'True' is of the type str, the label True bool."),
    ],
    ids=["text for numbers", "a number for text", "numbers for text", "text for bools"],
)
def test_what_only_reads_like_a_label_is_refused(labels, weights, hint):
    """The 1 of labels "1" and "2" may be meant for the first, and is the code of the second."""
    with pytest.raises(ValueError, match=re.escape(hint)):
        cross_fit([LogisticRegression(class_weight=weights)], X, labels)


def test_of_many_labels_the_message_shows_some():
    target = check_target(np.arange(300) % 100, "classification", 300)
    with pytest.raises(ValueError, match=r"\[0, 1, 2, 3, 4, 5, 6, 7, 8, 9\] and 90 more, or codes of these, 0 to 99"):
        check_class_weights([("logit", LogisticRegression(class_weight={-1: 2}))], target)
