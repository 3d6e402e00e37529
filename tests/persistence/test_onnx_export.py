"""The ONNX graph of a stack predicts what the stack predicts, with ONNX Runtime alone."""

import subprocess
import sys

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import shuffle
from xgboost import XGBClassifier, XGBRegressor

from stackkit import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
    StackingClassifier,
    StackingRegressor,
    to_onnx,
)
from stackkit._persistence import onnx_trees
from stackkit.exceptions import MissingClassWarning

onnx = pytest.importorskip("onnx", reason="onnx is an optional package")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is an optional package")
pytest.importorskip("skl2onnx", reason="skl2onnx is an optional package")

FEW = {"n_estimators": 5, "random_state": 0}
IRIS, SPECIES = shuffle(*load_iris(return_X_y=True), random_state=0)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
ILL, PROGRESS = load_diabetes(return_X_y=True)
CLASSIFIERS = [
    ("bayes", GaussianNB()),
    ("forest", RandomForestClassifier(**FEW)),
    ("xgboost", XGBClassifier(n_jobs=1, **FEW)),
    ("lightgbm", LGBMClassifier(n_jobs=1, verbose=-1, **FEW)),
    ("binned", HistGradientBoostingClassifier(max_iter=5)),
    ("boosted", GradientBoostingClassifier(**FEW)),
    ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
    ("near", make_pipeline(MinMaxScaler(), KNeighborsClassifier())),
]
REGRESSORS = [
    ("ridge", RidgeCV()),
    ("trees", ExtraTreesRegressor(**FEW)),
    ("xgboost", XGBRegressor(n_jobs=1, **FEW)),
    ("lightgbm", LGBMRegressor(n_jobs=1, verbose=-1, **FEW)),
    ("binned", HistGradientBoostingRegressor(max_iter=5)),
    ("curved", make_pipeline(PolynomialFeatures(2), Ridge())),
]


def _run(path, X):
    """What ONNX Runtime alone makes of the rows, by name of the output."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": np.asarray(X, dtype=np.float64)}), strict=True))


def _check_classes(model, path, X):
    found = _run(to_onnx(model, path), X)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), rtol=0, atol=1e-5)
    assert (found["label"] == model.predict(X)).all()


def _check_numbers(model, path, X):
    found = _run(to_onnx(model, path), X)["value"]
    np.testing.assert_allclose(found[:, 0], model.predict(X), rtol=1e-5)


FINAL_CLASSIFIERS = [LogPoolClassifier(), ConvexClassifier(), EnsembleSelectionClassifier(), LogisticRegression()]
FINAL_REGRESSORS = [
    RidgePoolRegressor(margin=0),
    LinearPoolRegressor(),
    ConvexRegressor(),
    EnsembleSelectionRegressor(),
]
DIFFUSE = IRIS + np.random.default_rng(0).normal(size=IRIS.shape)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("final", FINAL_CLASSIFIERS, ids=lambda final: type(final).__name__)
def test_each_final_estimator_of_classes(final, n_classes, tmp_path):
    few = n_classes > SPECIES
    model = StackingClassifier([CLASSIFIERS[0], CLASSIFIERS[6]], final, cv=2, random_state=0)
    _check_classes(model.fit(IRIS[few], NAMES[few]), tmp_path / "iris.onnx", DIFFUSE)


@pytest.mark.parametrize("final", FINAL_REGRESSORS, ids=lambda final: type(final).__name__)
def test_each_final_estimator_of_numbers(final, tmp_path):
    model = StackingRegressor([REGRESSORS[0], REGRESSORS[1]], final, cv=2, random_state=0)
    _check_numbers(model.fit(ILL, PROGRESS), tmp_path / "ill.onnx", 3 * ILL)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_classifier(n_classes, tmp_path):
    few = n_classes > SPECIES
    model = StackingClassifier(CLASSIFIERS, LogisticRegression(), cv=2, random_state=0).fit(IRIS[few], SPECIES[few])
    _check_classes(model, tmp_path / "iris.onnx", DIFFUSE)


@pytest.mark.parametrize("passthrough", [False, [0, 3]])
def test_each_regressor(passthrough, tmp_path):
    model = StackingRegressor(REGRESSORS, Ridge(), cv=2, passthrough=passthrough, random_state=0).fit(ILL, PROGRESS)
    _check_numbers(model, tmp_path / "ill.onnx", ILL)


def test_levels_and_a_class_that_a_fold_lacks(tmp_path):
    above = StackingClassifier([CLASSIFIERS[1], CLASSIFIERS[6]], ConvexClassifier())
    first = [CLASSIFIERS[0], CLASSIFIERS[6]]
    model = StackingClassifier(first, above, cv=2, random_state=0).fit(IRIS, NAMES)
    _check_classes(model, tmp_path / "levels.onnx", DIFFUSE)
    folds = np.where(SPECIES == 2, 0, np.arange(len(SPECIES)) % 2)  # the others are trained on without the third class
    model = StackingClassifier([CLASSIFIERS[0]], cv=PredefinedSplit(folds))
    with pytest.warns(MissingClassWarning):
        model.fit(IRIS, NAMES)
    _check_classes(model, tmp_path / "lacking.onnx", DIFFUSE)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_an_operator_has_few_trees(n_classes, tmp_path, monkeypatch):
    few, path = n_classes > SPECIES, tmp_path / "iris.onnx"
    model = StackingClassifier(CLASSIFIERS[1:5], LogisticRegression(), cv=2, random_state=0)
    model.fit(DIFFUSE[few], SPECIES[few])
    counts = {}
    for most in (60, 10_000):
        monkeypatch.setattr(onnx_trees, "MOST_NODES", most)
        _check_classes(model, path, DIFFUSE)
        found = [
            {name.name: name.ints for name in node.attribute}
            for node in onnx.load(path).graph.node
            if node.op_type == "TreeEnsembleRegressor"
        ]
        counts[most] = len(found)
        for trees in found:
            assert len(trees["nodes_treeids"]) <= most or set(trees["nodes_treeids"]) == {0}
    assert counts[10_000] == 8  # one for each learner and fold
    assert counts[60] > 8


def test_values_beside_a_threshold_go_to_its_side(tmp_path):
    """Next to each threshold of LightGBM's, in float64: as float32 they are the threshold itself."""
    model = StackingRegressor([REGRESSORS[3], REGRESSORS[4]], Ridge(), cv=2, random_state=0).fit(ILL, PROGRESS)
    trees = model.members_["lightgbm"][0].booster_.trees_to_dataframe()
    column = trees.split_feature.dropna().iloc[0]
    edges = trees.threshold[trees.split_feature == column].to_numpy()
    rows = np.repeat(ILL[:1], 3 * len(edges), axis=0)
    rows[:, int(column.removeprefix("Column_"))] = np.r_[edges, np.nextafter(edges, -1), np.nextafter(edges, 1)]
    _check_numbers(model, tmp_path / "edges.onnx", rows)


def test_missing_values_go_where_trees_send_them(tmp_path):
    gaps = np.where(np.random.default_rng(0).random(ILL.shape) < 0.2, np.nan, ILL)
    model = StackingRegressor(REGRESSORS[1:5], Ridge(), cv=2, random_state=0).fit(gaps, PROGRESS)
    _check_numbers(model, tmp_path / "gaps.onnx", gaps)
    # Where the training rows had none, LightGBM takes them for zeros.
    model = StackingRegressor(REGRESSORS[2:4], Ridge(), cv=2, random_state=0).fit(ILL, PROGRESS)
    _check_numbers(model, tmp_path / "new_gaps.onnx", gaps)


def test_onnx_runtime_and_numpy_are_enough(tmp_path):
    model = StackingClassifier([CLASSIFIERS[0], CLASSIFIERS[3]], cv=2, random_state=0).fit(IRIS, NAMES)
    np.save(tmp_path / "rows.npy", IRIS)
    path = to_onnx(model, tmp_path / "iris.onnx")
    code = (
        "import sys, numpy, onnxruntime\n"
        f"session = onnxruntime.InferenceSession({str(path)!r})\n"
        f"label, _ = session.run(None, {{'X': numpy.load({str(tmp_path / 'rows.npy')!r})}})\n"
        "used = {'stackkit', 'sklearn', 'lightgbm', 'skl2onnx', 'pandas', 'scipy', 'torch'} & set(sys.modules)\n"
        "print(*label, *used)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == model.predict(IRIS).tolist()


def test_what_cannot_be_converted_is_named(tmp_path):
    path, good = tmp_path / "no.onnx", CLASSIFIERS[0]

    def refuse(learners, message, final=None, **settings):
        model = StackingClassifier(learners, final or LogisticRegression(), cv=2, **settings).fit(IRIS, SPECIES)
        with pytest.raises(TypeError, match=message):
            to_onnx(model, path)
        assert not path.exists()

    refuse([good, ("line", LinearSVC())], "the learner 'line': its method is 'decision_function'. Wrap it in Calib")
    unknown = make_pipeline(FunctionTransformer(np.cbrt), LogisticRegression())
    refuse([("cubes", unknown)], "the learner 'cubes': its step FunctionTransformer: skl2onnx cannot .* Leave it out")
    refuse([good], "the final estimator: LinearSVC gives no probabilities. Use one", LinearSVC())
    with pytest.raises(TypeError, match="must be a fitted StackingModel or CompactModel; got GaussianNB"):
        to_onnx(GaussianNB(), path)
    with pytest.raises(NotFittedError):
        to_onnx(StackingClassifier(), path)


def test_packages_that_are_missing_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("stackkit._persistence.onnx_export.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs onnx and skl2onnx: pip install 'stackkit\[onnx\]'"):
        to_onnx(GaussianNB(), tmp_path / "no.onnx")
