import importlib
import logging
import sys
import threading

import numpy as np
import pytest
from prints import Takes, all_differ, of_part, same
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge

from stackkit import StackingModel, _crews, _origin, cross_fit
from stackkit._fingerprint import NotStorableError, learner_fingerprint
from stackkit.nn import BNMLPClassifier

LOG = logging.getLogger(__name__)
LOCK = threading.Lock()


def plus(n):
    return lambda X: X + n


def logs(X):
    with LOCK:
        LOG.info("logs")
    return X


def test_what_makes_functions_different():
    # All on one line, so that neither names nor line numbers tell them apart.
    functions = [lambda x: x + 1, lambda x: x + 2, lambda x: x - 1, lambda x: np.exp(x + 1), lambda x: np.log(x + 1)]
    defaults = [lambda X, a=1: X + a, lambda X, a=2: X + a, lambda X, *, a=1: X + a, lambda X, *, a=2: X + a]
    nested = [lambda X: [x + 1 for x in X if x], lambda X: [x + 2 for x in X if x]]
    assert all_differ([*functions, *defaults, *nested, plus(1), plus(2), None], of_part)
    assert same(plus(1), plus(1), of=of_part)


def test_function_that_refers_to_what_has_no_identity_but_a_source():
    assert of_part(logs) == of_part(logs)


def test_functions_that_call_each_other():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert all_differ([even, odd], of_part)


def interactive(code, name="made"):
    """What a notebook defines: code without a file."""
    scope = {"__name__": "__main__", "np": np, "BaseEstimator": BaseEstimator, "lock": LOCK}
    exec(code, scope)
    return scope[name]


def test_globals_of_functions_without_a_file_matter():
    code = "limit = {}\ndef helper(X): return X > limit\ndef made(X): return helper(X)"
    assert all_differ([interactive(code.format(n)) for n in (1, 2)], of_part)
    assert same(*(interactive(code.format(1)) for _ in range(2)), of=of_part)
    with pytest.raises(NotStorableError, match="lock"):
        of_part(interactive("def made(X): return lock"))


def test_classes_without_a_file_are_their_code():
    code = "class made(BaseEstimator):\n  depth = {}\n  def fit(self, X, y): return X {} 1"
    learners = [interactive(code.format(*parts))() for parts in ((1, "+"), (2, "+"), (1, "-"))]
    assert all_differ(learners, learner_fingerprint)
    assert same(learners[0], interactive(code.format(1, "+"))(), of=learner_fingerprint)
    child = "class base(BaseEstimator):\n  depth = {}\nclass made(base): pass"
    assert all_differ([interactive(child.format(n))() for n in (1, 2)], learner_fingerprint)


def test_classes_without_a_module_are_told_apart():
    made = [type("made", (BaseEstimator,), {"depth": n, "__module__": "builtins"}) for n in (1, 2)]
    assert all_differ([cls() for cls in made], learner_fingerprint)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Writes modules as a user would, and imports them anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source, encoding="utf8")
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    for name in ("of_the_user", "its_helper"):
        sys.modules.pop(name, None)


LEARNER = "from sklearn.base import BaseEstimator\nclass Own(BaseEstimator):\n  def fit(self, X, y): return {}\n"


def test_edited_learner_is_another(user_module):
    prints = [learner_fingerprint(user_module("of_the_user", LEARNER.format(n)).Own()) for n in (1, 22, 1)]
    assert prints[0] == prints[2] != prints[1]
    # Not in the class, but in the file: something there may look it up.
    module = user_module("of_the_user", LEARNER.format(1) + "TABLE = 1\n")
    assert learner_fingerprint(module.Own()) not in prints


def test_learner_that_was_edited_after_its_import(user_module, tmp_path):
    old = user_module("of_the_user", LEARNER.format(1)).Own()
    (tmp_path / "of_the_user.py").write_text(LEARNER.format(22), encoding="utf8")
    stale = learner_fingerprint(old)
    assert stale != learner_fingerprint(user_module("of_the_user", LEARNER.format(22)).Own())


@pytest.mark.parametrize("use", ["from its_helper import f", "import its_helper\nf = its_helper.f"])
def test_edited_helper_makes_another_learner(user_module, use):
    found = []
    for n in (1, 2):
        user_module("its_helper", f"def f(X): return {n}\n")
        found.append(learner_fingerprint(user_module("of_the_user", f"{use}\n" + LEARNER.format("f(X)")).Own()))
    assert found[0] != found[1]


def learners_of_ours():
    return [StackingModel([("ridge", Ridge())]), BNMLPClassifier(), Takes(cross_fit)]


def test_what_our_own_variables_hold_makes_no_other_learner(monkeypatch):
    before = [learner_fingerprint(learner) for learner in learners_of_ours()]
    monkeypatch.setattr(_crews, "_WAITING", ["a worker"])
    monkeypatch.setattr(_origin, "_a_new_one", threading.Lock(), raising=False)
    assert [learner_fingerprint(learner) for learner in learners_of_ours()] == before
    assert len({*before}) == 3


def test_another_source_of_ours_makes_other_learners(monkeypatch):
    before = [learner_fingerprint(learner) for learner in learners_of_ours()]
    monkeypatch.setattr(_origin, "_OUR_SOURCE", "another")
    assert {*before}.isdisjoint(learner_fingerprint(learner) for learner in learners_of_ours())


def test_every_file_of_a_folder_counts(tmp_path):
    (tmp_path / "inner").mkdir()
    files = [tmp_path / name for name in ("a.py", "b.py", "inner/a.py")]
    found = [_origin._folder_digest(tmp_path)]
    for file in files:
        file.write_text("1")
        found.append(_origin._folder_digest(tmp_path))
    for file in files:
        file.write_text("22")
        found.append(_origin._folder_digest(tmp_path))
    files[0].rename(tmp_path / "c.py")
    found.append(_origin._folder_digest(tmp_path))
    assert len({*found}) == len(found)


def test_class_of_a_library_is_known_by_its_version(monkeypatch):
    import sklearn

    before = learner_fingerprint(Ridge())
    monkeypatch.setattr(sklearn, "__version__", "0.0")
    assert learner_fingerprint(Ridge()) != before
