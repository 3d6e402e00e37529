"""Raw skorch nets, as users hand them in."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from nets import Convolves, Embeds, Layers, OneLogit
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Checkpoint, EarlyStopping, LoadInitState
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader

from stackkit import StackingModel, cross_fit
from stackkit.exceptions import IgnoredWeightsWarning, LearnerFailedError, MissingClassWarning
from stackkit.nn._skorch_adapter import SkorchNet, whole_batches

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
SCORE = X[:, 0] - X[:, 1]
Y = (SCORE > 0).astype(int)
Y3 = np.digitize(SCORE, [-0.7, 0.7])
FRAME = pd.DataFrame(X, columns=list("abcd"))
INDICATOR = (X[:, :2] > 0).astype(int)
SHORT = {"max_epochs": 2, "batch_size": 16, "lr": 0.1, "verbose": 0}


def classifier(module=Layers, **params):
    return NeuralNetClassifier(module, **({"criterion": torch.nn.CrossEntropyLoss} | SHORT | params))


def regressor(module=Layers, **params):
    one_output = {"module__n_outputs": 1} if module is Layers else {}
    return NeuralNetRegressor(module, **(one_output | SHORT | params))


def binary(**params):
    return NeuralNetBinaryClassifier(OneLogit, **SHORT, **params)


def cross(learner, X, y, **options):
    return cross_fit([("net", learner)], X, y, cv=3, random_state=0, **options)


# --- what works ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows", [X, X.tolist(), FRAME, X.astype(np.float32)], ids=["array", "list", "frame", "float32"]
)
@pytest.mark.parametrize("y", [Y, np.array(["no", "yes"])[Y], Y == 1], ids=["codes", "text", "bool"])
def test_classifier(rows, y):
    oof = cross(classifier(max_epochs=10), rows, y)
    assert ((oof.train[:, 0] > 0.5) == Y).mean() > 0.75
    model = StackingModel([("net", classifier())], cv=3, random_state=0).fit(rows, y)
    assert set(model.predict(rows)) <= set(y)
    assert model.predict_proba(rows).shape == (90, 2)


@pytest.mark.parametrize("rows", [X, FRAME], ids=["array", "frame"])
def test_regressor(rows):
    oof = cross(regressor(max_epochs=20), rows, SCORE)
    assert np.corrcoef(oof.train[:, 0], SCORE)[0, 1] > 0.9
    assert StackingModel([regressor()], cv=3).fit(rows, SCORE).predict(rows).shape == (90,)


def test_several_targets():
    y = np.column_stack([SCORE, X[:, 2]])
    oof = cross(regressor(module__n_outputs=2, max_epochs=20), X, y)
    assert [np.corrcoef(oof.train[:, i], y[:, i])[0, 1] > 0.9 for i in range(2)] == [True, True]
    assert StackingModel([regressor(module__n_outputs=2)], cv=3).fit(X, y).predict(X).shape == (90, 2)


@pytest.mark.parametrize(
    "net",
    [
        binary(),
        classifier(OneLogit, criterion=torch.nn.BCEWithLogitsLoss),
        classifier(module__n_outputs=1, criterion=torch.nn.BCEWithLogitsLoss),
        classifier(module__end=torch.nn.Softmax(-1), criterion=torch.nn.NLLLoss),
    ],
    ids=["binary net", "flat logit", "column of logits", "softmax"],
)
@pytest.mark.parametrize("method", ["predict_proba", "predict"])
def test_other_outputs_and_criteria(net, method):
    oof = cross(net.set_params(max_epochs=20), X, Y, stack_method=method)
    assert ((oof.train[:, 0] > 0.5) == Y).mean() > 0.75


def test_threshold_of_a_binary_net():
    assert (cross(binary(threshold=0.0), X, Y, stack_method="predict").train == 1).all()


def test_multilabel():
    net = classifier(criterion=torch.nn.BCEWithLogitsLoss, max_epochs=20, train_split=ValidSplit(5))
    for method in ("predict_proba", "predict"):
        oof = cross(net, X, INDICATOR, stack_method=method)
        assert ((oof.train > 0.5) == INDICATOR).mean() > 0.75


def test_rows_of_more_dimensions_integers_and_sparse_rows():
    images = RNG.normal(size=(90, 5, 5))
    assert cross(classifier(Convolves), images, Y).covered.all()
    assert cross(classifier(Embeds), RNG.integers(0, 5, (90, 3)).astype(np.int8), Y).covered.all()
    np.testing.assert_array_equal(
        cross(classifier(), sparse.csr_matrix(X), Y).train,
        cross(classifier(), X, Y).train,
    )


def test_bytes_stay_bytes():
    assert SkorchNet(classifier(Convolves))._rows(np.zeros((9, 5, 5), np.uint8), reset=True).dtype == np.uint8


def test_in_a_pipeline():
    wide = X * [1, 1, 1, 1000]
    net = classifier(max_epochs=10)
    pipeline = make_pipeline(StandardScaler(), net)
    oof = cross(pipeline, wide, Y)
    assert ((oof.train[:, 0] > 0.5) == Y).mean() > 0.75
    assert pipeline.steps[-1][1] is net
    assert StackingModel([pipeline], cv=3).fit(wide, Y).predict(wide).shape == (90,)


def test_in_meta_estimators_under_its_own_parameter_names():
    pipeline = Pipeline([("scale", StandardScaler()), ("net", classifier(max_epochs=20))])
    search = GridSearchCV(pipeline, {"net__lr": [1e-9, 0.2]}, cv=2)
    oof = cross(search, X, Y)
    assert [member.best_params_ for member in oof.members["net"]] == [{"net__lr": 0.2}] * 3
    assert cross(GridSearchCV(classifier(), {"lr": [0.1], "module__batch_norm": [True]}, cv=2), X, Y).covered.all()
    assert cross(CalibratedClassifierCV(classifier(), cv=2), X, Y).covered.all()
    scaled = TransformedTargetRegressor(regressor(max_epochs=10), transformer=StandardScaler())
    assert np.corrcoef(cross(scaled, X, 1000 * SCORE).train[:, 0], SCORE)[0, 1] > 0.9


def test_prefit_nets_are_left_alone():
    net = classifier().fit(X.astype(np.float32), Y)
    rows = X.astype(np.float32)
    oof = cross(FrozenEstimator(net), rows, Y)
    assert oof.members["net"][0].estimator is net
    np.testing.assert_allclose(oof.train[:, 0], net.predict_proba(rows)[:, 1], rtol=1e-6)


def test_a_class_that_a_fold_lacks():
    """The module has an output for it all the same."""
    y = np.sort(Y3)
    with pytest.warns(MissingClassWarning):
        oof = cross_fit([("net", classifier(module__n_outputs=3))], X, y, cv=KFold(3), random_state=0)
    np.testing.assert_allclose(oof.train.sum(axis=1), 1, rtol=1e-5)
    assert (oof.train[:20, 0] == 0).all()  # fold 0 trains without class 0
    assert set(SkorchNet(classifier(module__n_outputs=9), random_state=0).fit(X, y).predict(X)) <= {0, 1, 2}


# --- the loss -----------------------------------------------------------------------------------------


def by_hand(seed, module, y):
    """Two epochs of stochastic gradient descent, batch by batch."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = module()
    optimizer, rows = torch.optim.SGD(module.parameters(), lr=0.1), torch.tensor(X, dtype=torch.float32)
    for _ in range(2):
        for start in range(0, 90, 32):
            output = module(rows[start : start + 32])
            loss = (
                (output - torch.tensor(y[start : start + 32], dtype=torch.float32).reshape(output.shape)) ** 2
            ).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return module(rows).detach().numpy()


@pytest.mark.parametrize("module", [lambda: Layers(n_outputs=1), OneLogit], ids=["column", "flat"])
def test_regression_compares_row_with_row(module):
    """Not each of n predictions with each of n targets: (n,) against (n, 1)."""
    net = SkorchNet(regressor(module, batch_size=32, train_split=None), random_state=3).fit(X, SCORE)
    np.testing.assert_allclose(net.predict(X), by_hand(net.seed_, module, SCORE).reshape(90), rtol=1e-4, atol=1e-6)


# --- the last batch -----------------------------------------------------------------------------------


def test_a_last_batch_of_one_row():
    """60 training rows, 48 of them without the inner validation part: 47 + 1."""
    net = classifier(module__batch_norm=True, batch_size=47)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        clone(net).fit(X[:60].astype(np.float32), Y[:60])
    oof = cross(net, X, Y)
    sizes = [member.net_.history[-1, "batches", :, "train_batch_size"] for member in oof.members["net"]]
    assert sizes == [[48]] * 3


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_is_in_one_batch(shuffle):
    for n_rows in (1, 4, 5, 9, 10):
        loader = whole_batches(np.arange(n_rows), batch_size=4, shuffle=shuffle)
        batches = list(loader)
        order = torch.cat(batches).tolist()
        assert sorted(order) == list(range(n_rows))
        assert (order == sorted(order)) is not shuffle or n_rows == 1
        assert len(batches) == len(loader)
        assert min(map(len, batches)) > 1 or n_rows == 1


class MyLoader(DataLoader):
    pass


@pytest.mark.parametrize("options", [{"iterator_train": MyLoader}, {"iterator_train__drop_last": True}])
def test_own_batches_are_left_alone(options):
    member = cross(classifier(**options), X, Y).members["net"][0]
    assert member.net_.iterator_train is options.get("iterator_train", DataLoader)


# --- seeds --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawing():
    """Learners that draw wherever a net can: weights, order, dropout, the inner split by NumPy's generator."""
    shuffled = {"iterator_train__shuffle": True, "train_split": ValidSplit(0.2)}
    return [
        ("net", classifier(module__end=torch.nn.Dropout(0.2), **shuffled)),
        ("pipeline", make_pipeline(StandardScaler(), regressor(**shuffled))),
        ("normed", classifier(module__batch_norm=True, batch_size=47)),
    ]


@pytest.mark.slow
def test_same_bits_wherever_it_runs(drawing):
    reference = cross_fit(drawing, X, Y, cv=3, random_state=0).train
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the generator that skorch draws from
    np.testing.assert_array_equal(cross_fit(drawing[::-1], X, Y, cv=3, random_state=0).train[:, ::-1], reference)
    np.testing.assert_array_equal(cross_fit(drawing, X, Y, cv=3, random_state=0, n_jobs=2).train, reference)
    with joblib.parallel_config(backend="threading"):
        np.testing.assert_array_equal(cross_fit(drawing, X, Y, cv=3, random_state=0, n_jobs=2).train, reference)
    assert (cross_fit(drawing, X, Y, cv=3, random_state=1).train != reference).any(axis=0).all()


def test_each_fold_has_a_seed_of_its_own():
    members = cross(classifier(), X, Y).members["net"]
    assert len({member.seed_ for member in members}) == 3


def test_global_generators_and_threads_are_put_back(drawing):
    def state():
        of_numpy = np.random.get_state()[1]  # noqa: NPY002 - as above
        return torch.get_rng_state().tolist(), of_numpy.tolist(), torch.get_num_threads()

    before = state()
    model = StackingModel(drawing, cv=3, random_state=0).fit(X, Y)
    assert state() == before
    first = model.transform(X)
    assert state() == before
    np.testing.assert_array_equal(model.transform(X), first)


# --- the user's net -----------------------------------------------------------------------------------


def test_the_net_is_never_written_to():
    module = Layers()  # an instance: skorch trains it in place
    net, search = classifier(module), GridSearchCV(classifier(), {"lr": [0.1]}, cv=2)
    pipeline = make_pipeline(StandardScaler(), net)
    before = copy.deepcopy(module.state_dict())
    given, inner = vars(net).copy(), vars(search.estimator).copy()
    StackingModel([("net", net), ("pipeline", pipeline), ("search", search)], cv=3).fit(X, Y)
    assert vars(net) == given
    assert vars(search.estimator) == inner
    assert not net.initialized_
    assert pipeline.named_steps["neuralnetclassifier"] is net
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_parameters_are_those_of_the_net_as_given():
    net = classifier()
    model = StackingModel([("net", net), ("pipeline", Pipeline([("it", net)]))], cv=3, random_state=0)
    for _ in range(2):  # unfitted and fitted
        params = model.get_params()
        assert params["net"] is params["pipeline__it"] is net
        assert params["net__lr"] == params["pipeline__it__lr"] == 0.1
        assert is_classifier(model)
        assert not is_regressor(model)
        model.fit(X, Y)
    copied = clone(model)
    assert type(copied.get_params()["net"]) is NeuralNetClassifier
    assert copied.get_params()["net"] is not net
    np.testing.assert_array_equal(copied.fit(X, Y).oof_.train, model.oof_.train)
    copied.set_params(net__lr=0.7, net__module__batch_norm=True).fit(X, Y)
    assert {member.net_.lr for member in copied.members_["net"]} == {0.7}
    assert net.lr == 0.1
    assert "NeuralNetClassifier" in model._repr_html_()


def test_parameters_of_the_adapter():
    adapter = SkorchNet(classifier()).set_params(lr=0.3, net__max_epochs=5, n_threads=2, module__n_outputs=3)
    assert (adapter.net.lr, adapter.net.max_epochs, adapter.n_threads) == (0.3, 5, 2)
    assert clone(adapter).net.module__n_outputs == 3


def test_the_task_follows_from_the_net():
    assert is_regressor(StackingModel([regressor()]))
    assert is_regressor(SkorchNet(regressor()))
    assert not hasattr(SkorchNet(regressor()), "predict_proba")


def test_a_fitted_stack_can_be_pickled():
    model = StackingModel([classifier(), make_pipeline(StandardScaler(), binary())], cv=3).fit(FRAME, Y)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict_proba(FRAME), model.predict_proba(FRAME))


def test_early_stopping_keeps_the_best_epoch():
    oof = cross(classifier(max_epochs=5, callbacks=[EarlyStopping(patience=2, load_best=True)]), X, Y)
    assert oof.covered.all()


def test_weights_are_not_for_nets():
    with pytest.warns(IgnoredWeightsWarning, match="'net'"):
        cross(classifier(), X, Y, sample_weight=np.ones(90))


def test_groups_are_for_the_inner_split():
    groups = np.arange(90) % 10
    net = classifier(train_split=ValidSplit(GroupKFold(2)))
    with config_context(enable_metadata_routing=True):
        model = StackingModel([("net", net), ("it", make_pipeline(StandardScaler(), net))], LogisticRegression(), cv=3)
        model.fit(X, Y, groups=groups)
    for member in model.members_["net"]:
        assert sum(member.net_.history[-1, "batches", :, "train_batch_size"]) == 30


# --- what to change -----------------------------------------------------------------------------------

WHOLE = RNG.integers(0, 5, (90, 4))
IMAGES = RNG.integers(0, 255, (90, 5, 5))


class Flat(NeuralNetClassifier):
    """Its own idea of a loss."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return (y_pred - y_true).square().mean()


class Double(Layers):
    def __init__(self):
        super().__init__()
        self.double()


@pytest.mark.parametrize(
    ("net", "rows", "y", "match"),
    [
        (classifier(), WHOLE, Y, r"same dtype.* gets float32, or X's integers .* pass X.astype\('float32'\) or put a"),
        (classifier(Convolves), IMAGES, Y, r"\(long int\) .* should be the same\. The net gets float32"),
        (classifier(Double), X, Y, "same dtype.*: keep the module in float32"),
        (classifier(Embeds), X, Y, "Embeddings take integers: pass X as integers, without a scaler"),
        (classifier(Embeds, module__n_rows=3), WHOLE, Y, "needs more rows than the largest integer in X"),
        (classifier(module__n_inputs=5), X, Y, "first layer must take as many inputs as X has columns"),
        (classifier(), X, Y3, r"Target 2 is out of bounds\. The module must have one output a class; for two"),
        (classifier(criterion=torch.nn.BCEWithLogitsLoss), X, Y, "cross-entropy needs one output a target; for one"),
        (binary(), X, Y3, r"one column per class, 3 in all; got an output of shape \(30, 2\)\. Change its last"),
        (classifier(OneLogit), X, Y, "The module must have one output a class; for two"),
        (Flat(OneLogit, **SHORT), X, Y, "The module must have one output a class; for two"),
        (
            Flat(OneLogit, train_split=None, **SHORT),
            X,
            Y,
            r"one column per class, 2 in all; got an output of shape \(30,\)",
        ),
        (
            regressor(module__n_outputs=2),
            X,
            SCORE,
            r"one column per target, 1 in all; got .* \(30, 2\)\. Change its last",
        ),
        (classifier(module__batch_norm=True, batch_size=1), X, Y, "raise 'batch_size'; with a loader of your own, set"),
        (
            classifier(train_split=ValidSplit(50, stratified=True)),
            X,
            Y,
            "'train_split' cannot divide .* set train_split=None",
        ),
        (
            classifier(train_split=ValidSplit(0.2, stratified=True)),
            X,
            np.arange(90) > 87,
            "'train_split' cannot divide",
        ),
        (
            classifier(criterion=torch.nn.BCEWithLogitsLoss),
            X,
            INDICATOR,
            "'train_split' cannot .* without 'stratified'",
        ),
        (classifier(), FRAME.assign(a="x"), Y, "could not convert string.* put an encoder before it in a Pipeline"),
        (classifier(), np.where(X > 2, np.nan, X), Y, "X contains NaN"),
        (classifier(), np.where(X > 2, 1e300, X), Y, r"value too large for dtype\('float32'\)"),
        (
            classifier(criterion=torch.nn.NLLLoss, module__end=torch.nn.ReLU()),
            X,
            Y,
            "must give probabilities; got rows that sum to .* With NLLLoss, .* criterion=torch.nn.CrossEntropyLoss",
        ),
        (
            classifier(criterion=torch.nn.NLLLoss, module__end=torch.nn.LogSoftmax(-1)),
            X,
            Y,
            "must give probabilities; got .* from a softmax: skorch itself takes the logarithm",
        ),
        (
            classifier(criterion=torch.nn.MultiMarginLoss),
            X,
            Y,
            "got rows that sum .* Set 'predict_nonlinearity' to what",
        ),
        (
            classifier(lr=1e38),
            X,
            Y,
            "probabilities; got NaN or infinity. The training diverged: lower 'lr', or scale X",
        ),
        (regressor(lr=1e30), X, SCORE, "predict gave NaN or infinity. The training diverged: lower 'lr', or scale X"),
        (
            classifier(callbacks=[Checkpoint(load_best=True)]),
            X,
            Y,
            r"must not load .*; got Checkpoint\. Use EarlyStopping",
        ),
        (classifier(callbacks=[("load", LoadInitState(Checkpoint()))]), X, Y, "must not load .*; got LoadInitState"),
        (classifier(callbacks="disable", module__n_inputs=5), X, Y, "first layer must take"),
        (classifier(module__unknown=1), X, Y, "unexpected keyword argument 'unknown'"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size", "ignore:overflow", "ignore:The least populated class")
def test_says_what_to_change(net, rows, y, match):
    with pytest.raises(LearnerFailedError, match=f"learner 'net' .* failed in fold .*{match}"):
        cross(net, rows, y)


def test_the_cause_is_chained():
    with pytest.raises(LearnerFailedError) as caught:
        cross(classifier(), X, Y3)
    assert type(caught.value.__cause__.__cause__) is IndexError


def test_stands_beside_other_learners():
    oof = cross_fit([regressor(), LinearRegression()], X, SCORE, cv=3, random_state=0)
    assert oof.columns == ["neuralnetregressor", "linearregression"]
