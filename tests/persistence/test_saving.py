"""Saved and loaded, a model is the same bit for bit; a file runs nothing, whoever wrote it."""

import io
import json
import pickle
import re
import sys

import numpy as np
import pandas as pd
import pytest
import spies
from sealing import Payload, sealed, tampered, unzipped, zipped
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor

import stackkit
from stackkit import StackingModel, default_learners, load, save
from stackkit.exceptions import ModelFileError, OtherVersionsWarning
from stackkit.nn import BNMLPClassifier
from stackkit.uncertainty import conformal

X, y = load_iris(return_X_y=True)
labels = np.array(["setosa", "versicolor", "virginica"])[y]
few = [("knn", KNeighborsClassifier()), ("bayes", GaussianNB())]


def _frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": X[:, 0], "port": rng.choice(["Cork", "Brest", None], len(X))})
    frame["built"] = pd.to_datetime(rng.integers(1900, 1950, len(X)).astype(str), format="%Y")
    frame["words"] = [f"{'old' if rng.random() < 0.5 else 'new'} ship {k}" for k in range(len(X))]
    return frame.set_index(pd.Index([f"row {k}" for k in range(len(X))]))


def _predictions(model, rows):
    methods = ("predict", "predict_proba", "decision_function", "transform")
    return [np.asarray(getattr(model, method)(rows)) for method in methods if hasattr(model, method)]


def _assert_same(again, model, rows):
    for ours, theirs in zip(_predictions(again, rows), _predictions(model, rows), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


def _several():
    """What a stack may hold, made small."""
    small = {"bn_mlp": {"max_epochs": 2, "n_members": 1}}
    small |= {name: {"n_estimators": 5} for name in ("xgboost", "lightgbm", "extra_trees")}
    defaults = default_learners("classification", _frame())
    for name, learner in defaults:
        learner.set_params(**{f"learner__{key}": value for key, value in small.get(name, {}).items()})
    return StackingModel(defaults, cv=3, random_state=0).fit(_frame(), labels)


@pytest.fixture(scope="module")
def fitted():
    return _several()


@pytest.fixture(scope="module")
def kept(fitted, tmp_path_factory):
    """Its file, which takes seconds to write."""
    return save(fitted, tmp_path_factory.mktemp("kept") / "kept.stackkit")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


# --- the same again -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stack_of_default_learners(fitted, kept):
    again = load(kept)
    _assert_same(again, fitted, _frame())
    pd.testing.assert_frame_equal(again.oof_.to_frame(), fitted.oof_.to_frame())
    pd.testing.assert_frame_equal(again.oof_.scores, fitted.oof_.scores)
    pd.testing.assert_frame_equal(again.leaderboard(), fitted.leaderboard())
    pd.testing.assert_frame_equal(again.failures_, fitted.failures_)
    assert repr(again) == repr(fitted)
    assert again.oof_.blocks == fitted.oof_.blocks
    for ours, theirs in zip(again.oof_.folds.pairs, fitted.oof_.folds.pairs, strict=True):
        assert all(np.array_equal(*rows) for rows in zip(ours, theirs, strict=True))
    assert all(again.members_[name][0] is again.oof_.members[name][0] for name in again.members_)
    assert again._predictor.final.estimator is again.final_estimator_


@pytest.mark.parametrize(
    "model",
    [
        StackingModel([*few, ("forest", RandomForestClassifier(5))], cv=3, refit=True, random_state=0),
        StackingModel(few, StackingModel(few, cv=2), cv=KFold(3, shuffle=True, random_state=1)),
        StackingModel(few, LogisticRegression(), cv=3, passthrough=True, random_state=np.random.RandomState(0)),
        StackingModel([("bad", BNMLPClassifier(lr=-1)), *few], cv=3, on_error="drop"),
        StackingModel([("frozen", FrozenEstimator(GaussianNB().fit(X, labels))), *few], cv=3),
        StackingModel([("grid", GridSearchCV(few[0][1], {"n_neighbors": [1, 3]}, scoring="neg_log_loss"))], cv=2),
        make_pipeline(StandardScaler(), StackingModel(few, cv=3)),
        make_pipeline(SelectKBest(k=2), SplineTransformer(), LogisticRegression()),
        make_pipeline(FunctionTransformer(np.log1p), GaussianNB()),
        CalibratedClassifierCV(SGDClassifier(random_state=0)),
        BaggingClassifier(BNMLPClassifier(max_epochs=1), n_estimators=2, random_state=0),
        RandomForestClassifier(5, class_weight={"setosa": 2, "versicolor": 1, "virginica": 1}),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::stackkit.exceptions.LearnerDroppedWarning")
def test_models_of_many_kinds(model, path):
    model.fit(X, labels)
    _assert_same(load(save(model, path)), model, X)


@pytest.mark.parametrize("final", [None, GradientBoostingRegressor(n_estimators=5, random_state=0)])
def test_a_regressor(final, path):
    rows, target = load_diabetes(return_X_y=True)
    learners = [("hist", HistGradientBoostingRegressor(max_iter=5)), ("boost", XGBRegressor(n_estimators=5))]
    model = StackingModel(learners, final, cv=3).fit(rows, target)
    _assert_same(load(save(model, path)), model, rows)


def test_several_labels_a_row(path):
    rows, target = make_multilabel_classification(100, n_classes=3, random_state=0)
    model = StackingModel([few[0], ("forest", RandomForestClassifier(5))], cv=3).fit(rows, target)
    _assert_same(load(save(model, path)), model, rows)


def test_what_is_made_of_a_stack_has_no_form_in_a_file(path):
    model = StackingModel(few, cv=3).fit(X, labels)
    with pytest.raises(TypeError, match=r"Conformal.* There is no form for it in a file: save the StackingModel"):
        save(conformal(model), path)
    _assert_same(load(save(model, path)).compact(), model.compact(), X)


def test_unfitted_models(path):
    again = load(save(StackingModel(few, cv=3), path))
    assert repr(again) == repr(StackingModel(few, cv=3))
    with pytest.raises(NotFittedError):
        again.predict(X)
    _assert_same(again.fit(X, y), StackingModel(few, cv=3).fit(X, y), X)


@pytest.mark.slow
def test_saving_changes_nothing_in_the_model(fitted, path):
    before = pickle.dumps(fitted.oof_.train), repr(fitted), list(vars(fitted))
    save(fitted, path)
    assert (pickle.dumps(fitted.oof_.train), repr(fitted), list(vars(fitted))) == before


def test_caches_are_of_one_machine(tmp_path, path):
    """A key, or a folder from which joblib would unpickle, does not travel."""
    store = stackkit.Store(tmp_path / "store", key="secret enough for this")
    model = StackingModel(
        [("p", make_pipeline(StandardScaler(), GaussianNB(), memory=str(tmp_path)))], cv=2, memory=store
    )
    model.fit(X, y)
    again = load(save(model, path))
    assert again.memory is None
    assert again.estimators[0][1].memory is None
    assert b"secret" not in b"".join(unzipped(path.read_bytes()).values())
    assert model.memory is store
    assert model.estimators[0][1].memory == str(tmp_path)


def test_the_file_is_what_the_documentation_says(kept):
    members = unzipped(kept.read_bytes())
    assert {name.rpartition(".")[2] for name in members} == {"json", "skops", "npz", "ubj", "txt"}
    manifest = json.loads(members["manifest.json"])
    assert manifest["format"] == 1
    assert manifest["versions"]["scikit-learn"]
    assert manifest["foreign"] == []
    assert not [name for name, data in members.items() if b"csklearn" in data or b"\x80\x04\x95" in data]  # a pickle


# --- damage -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_flips_and_truncations_are_found(fitted, kept, path):
    """A thousand: each is an error of one kind, or the model is the same."""
    content = kept.read_bytes()
    expected = [values.tobytes() for values in _predictions(fitted, _frame())]
    rng, outcomes = np.random.default_rng(0), {"refused": 0, "same": 0}
    for trial in range(1000):
        damaged = bytearray(content)
        if trial % 2:
            del damaged[rng.integers(len(content)) :]
        else:
            damaged[rng.integers(len(content))] ^= rng.integers(1, 256)
        path.write_bytes(damaged)
        try:
            again = load(path)
        except ModelFileError:
            outcomes["refused"] += 1
        else:
            assert [values.tobytes() for values in _predictions(again, _frame())] == expected
            outcomes["same"] += 1
    assert outcomes == {"refused": 1000, "same": 0}


@pytest.mark.slow
def test_flips_behind_the_seal_raise_nothing_else(path):
    """As if an attacker flipped bytes and made all digests anew. XGBoost's own parser is left out."""
    model = StackingModel([*few, ("net", BNMLPClassifier(max_epochs=1)), ("forest", RandomForestClassifier(3))], cv=2)
    content = save(model.fit(X, y), path).read_bytes()
    names = [name for name in unzipped(content) if name != "manifest.json"]
    rng, refused = np.random.default_rng(0), 0
    for _ in range(40):
        path.write_bytes(content)
        with tampered(path) as (members, _):
            name = names[rng.integers(len(names))]
            damaged = bytearray(members[name])
            damaged[rng.integers(len(damaged))] ^= rng.integers(1, 256)
            members[name] = bytes(damaged)
        try:
            load(path)
        except ModelFileError:
            refused += 1
    assert refused > 30  # by the CRC of the inner archives, mostly


def test_a_damaged_file_says_so(path):
    save(GaussianNB(), path)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"kept.stackkit is damaged: its content is not what was written\.$"):
        load(path)


def test_what_cannot_be_saved_leaves_no_file(path):
    save(GaussianNB(), path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="cannot be saved"):
        save(FunctionTransformer(lambda rows: rows), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- attacks: seal and digests are right ------------------------------------------------------------------


def test_a_planted_pickle_stays_closed(path, planted):
    save(GaussianNB(), path)
    with tampered(path) as (members, _):
        members["parts/evil.pkl"] = members["data.pkl"] = pickle.dumps(Payload())
    load(path)  # nobody asks for those
    assert not planted.exists()


@pytest.mark.parametrize("suffix", ["skops", "npz", "ubj"])
def test_a_pickle_in_place_of_a_member_stays_closed(suffix, path, planted):
    save(
        make_pipeline(StackingModel([("net", BNMLPClassifier(max_epochs=1)), ("x", XGBClassifier())], cv=2)).fit(X, y),
        path,
    )
    with tampered(path) as (members, _):
        for name in [name for name in members if name.endswith(suffix)]:
            members[name] = pickle.dumps(Payload())
    with pytest.raises(ModelFileError, match="cannot be put together"):
        load(path)
    assert not planted.exists()


def _pickled_array():
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Payload()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def test_arrays_of_pickles_stay_closed(path, planted):
    model = StackingModel([("net", BNMLPClassifier(max_epochs=1))], cv=2).fit(X, y)
    for suffix in ("skops", "npz"):
        save(model, path)
        with tampered(path) as (members, _):
            for name in [name for name in members if name.endswith(suffix)]:
                inner = unzipped(members[name])
                members[name] = zipped(inner | {key: _pickled_array() for key in inner if key.endswith(".npy")})
        with pytest.raises(ModelFileError, match=r"Object arrays cannot be loaded when allow_pickle=False"):
            load(path)
    assert not planted.exists()


def test_names_are_not_imported_unless_trusted(path, planted):
    save(FunctionTransformer(spies.with_row_ids), path)
    with tampered(path) as (members, manifest):
        manifest["foreign"] = ["planted_evil.run"]
        inner = unzipped(members["model.skops"])
        schema = inner["schema.json"].replace(b"with_row_ids", b"run").replace(b"spies", b"planted_evil")
        members["model.skops"] = zipped(inner | {"schema.json": schema})
    for trusted in (None, [], ["planted_evil", "planted_evil.Thing", "other.run"]):
        with pytest.raises(ModelFileError, match=r"uses \['planted_evil.run'\], which are not stackkit's own"):
            load(path, trusted=trusted)
    assert not planted.exists()
    assert "planted_evil" not in sys.modules
    assert load(path, trusted=["planted_evil.run", "not.there"]).func is sys.modules["planted_evil"].run
    assert planted.read_text() == "imported"


def test_names_that_are_trusted_but_not_needed_are_not_imported(path, planted):
    load(save(GaussianNB(), path), trusted=["planted_evil.run"])
    assert not planted.exists()


@pytest.mark.parametrize("foreign", [None, "planted_evil.run", [1], {"a": 1}])
def test_the_list_of_names_is_a_list_of_names(foreign, path):
    save(GaussianNB(), path)
    with tampered(path) as (_, manifest):
        manifest["foreign"] = foreign
    with pytest.raises(ModelFileError, match="does not list the names to trust"):
        load(path)


# --- the user's own classes -------------------------------------------------------------------------------


def test_own_classes_and_functions_have_to_be_named(path):
    model = make_pipeline(FunctionTransformer(spies.with_row_ids), spies.Witness()).fit(X, y)
    save(model, path)
    names = ["spies.Witness", "spies.with_row_ids"]
    assert json.loads(unzipped(path.read_bytes())["manifest.json"])["foreign"] == names
    with pytest.raises(ModelFileError, match=re.escape(f"load it with trusted={names}.")):
        load(path)
    with pytest.raises(ModelFileError, match=re.escape("uses ['spies.with_row_ids'],")):
        load(path, trusted=["spies.Witness"])
    _assert_same(load(path, trusted=names), model, X)


@pytest.mark.parametrize("trusted", ["spies.Witness", [spies], 1.5, [1]])
def test_trusted_is_a_list_of_names(trusted, path):
    save(GaussianNB(), path)
    with pytest.raises(TypeError, match=r"The 'trusted' parameter must be a list of names|not iterable"):
        load(path, trusted=trusted)


def test_other_versions_are_named(path):
    save(GaussianNB(), path)
    with tampered(path) as (_, manifest):
        manifest["versions"] |= {"numpy": "0.1", "unheard-of": "\x1b[31m"}
    with pytest.warns(OtherVersionsWarning, match=r"saved with other versions of numpy \('0.1', here '.*'\): it may"):
        load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere")


def test_paths_are_text_too(path):
    assert save(IsolationForest(n_estimators=3).fit(X), str(path)) == path
    load(str(path))


def test_it_is_sealed_even_if_a_stranger_says_so(path):
    """The helper of these tests writes files that are read."""
    save(GaussianNB(), path)
    members = unzipped(path.read_bytes())
    path.write_bytes(sealed(zipped(members)))
    load(path)


def test_a_level_above_goes_with_the_model(tmp_path):
    """It holds the folds of the level below, for which there was no form in a file."""
    model = StackingModel(few, StackingModel([("tree", DecisionTreeClassifier(max_depth=2))], cv=None), cv=3)
    save(model.fit(X, labels), tmp_path / "a.model")
    again = load(tmp_path / "a.model")
    _assert_same(again, model, X)
    assert len(again.final_estimator_.cv.pairs) == 3


@pytest.mark.parametrize("kind", [pd.StringDtype(), pd.Series(["text"]).dtype], ids=repr)
def test_types_of_columns_of_text_come_back(kind, tmp_path):
    """Encoders of other packages note the types of the columns that they saw."""
    model = LogisticRegression(max_iter=1000).fit(X, y)
    model.seen_ = {"kind": kind}
    again = load(save(model, tmp_path / "model")).seen_["kind"]
    assert again == kind
    assert repr(again) == repr(kind)
