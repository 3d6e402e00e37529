import importlib
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from prints import Takes, all_differ, of_part, same
from projects import project_in
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

import stackkit
from stackkit import ConvexClassifier, StackingModel, cross_fit
from stackkit._execution.backends import processes
from stackkit._learners.preparation import tree_preprocessing
from stackkit._store import origin as _origin
from stackkit._store.fingerprint import NotStorableError, learner_fingerprint
from stackkit._store.imports import OurCode
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
    monkeypatch.setattr(processes, "_WAITING", ["a worker"])
    monkeypatch.setattr(_origin, "_a_new_one", threading.Lock(), raising=False)
    assert [learner_fingerprint(learner) for learner in learners_of_ours()] == before
    assert len({*before}) == 3


def test_another_source_of_ours_makes_other_learners(monkeypatch):
    before = [learner_fingerprint(learner) for learner in learners_of_ours()]
    monkeypatch.setattr(_origin.OUR_CODE, "closure", lambda _: ("another", frozenset()))
    assert {*before}.isdisjoint(learner_fingerprint(learner) for learner in learners_of_ours())


def test_a_class_of_ours_is_the_code_that_it_imports(monkeypatch, tmp_path):
    """Networks are edited, and nothing else is another; with a docstring nothing is at all."""
    learners = [BNMLPClassifier(), ConvexClassifier(), FunctionTransformer(tree_preprocessing), Ridge()]
    before = [learner_fingerprint(learner) for learner in learners]
    folder = shutil.copytree(Path(stackkit.__file__).parent, tmp_path / "copy")
    file = folder / "nn" / "_packed_engine.py"
    source = file.read_text(encoding="utf8")
    others = []
    for edited in (source.replace('"""', '"""Edited. ', 1), source.replace("import", "import os\nimport", 1)):
        file.write_text(edited, encoding="utf8")
        monkeypatch.setattr(_origin, "OUR_CODE", OurCode(folder))
        after = [learner_fingerprint(learner) for learner in learners]
        others.append([one != other for one, other in zip(before, after, strict=True)])
    assert others == [[False] * 4, [True, False, False, False]]


# --- helpers of the user's ----------------------------------------------------------------------------


OWN = """
from sklearn.base import BaseEstimator
{}
class Own(BaseEstimator):
  def fit(self, X, y):
    {}
"""
HELPERS = {
    "helper": "def f(X): return {}",
    "far____init__": "",
    "far__away": "def g(X): return {}",
    "far__settings": "ALPHA = {}",
    "near": "from far import away",
    "chain": "import near",
    "own____init__": "",
    "own__beside": "def h(X): return {}",
}
# What stands above the class, and in its `fit`.
USES = {
    "imported inside": ("", "import helper; helper.f(X)"),
    "its function imported inside": ("", "from helper import f; f(X)"),
    "of a package, imported inside": ("", "import far.away; far.away.g(X)"),
    "of a package, imported inside by another name": ("", "import far.away as it; it.g(X)"),
    "from a package, imported inside": ("", "from far import away; away.g(X)"),
    "beside it, imported inside": ("", "from . import beside; beside.h(X)"),
    "its function beside it, imported inside": ("", "from .beside import h; h(X)"),
    "by text": ("from importlib import import_module", "import_module('helper').f(X)"),
    "two modules away": ("import near", "near.away.g(X)"),
    "three modules away": ("import chain", "chain.near.away.g(X)"),
    "a constant two modules away": ("import far.settings", "X * far.settings.ALPHA"),
    "in no name": ("import near", "getattr(near, 'aw' + 'ay').g(X)"),
    "in a function inside": ("", "def inner():\n      import helper\n      return helper.f(X)\n    return inner()"),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    with project_in(tmp_path / "project", monkeypatch) as made:
        yield made


def own(project, use, n):
    """The learner of a new process, after the helpers were written."""
    project.write(own__learner=OWN.format(*USES[use]), **{name: text.format(n) for name, text in HELPERS.items()})
    return project.load("own.learner").Own()


@pytest.mark.parametrize("use", USES)
def test_an_edited_helper_makes_another_learner_wherever_it_is(project, use):
    prints = [learner_fingerprint(own(project, use, n)) for n in (1, 2, 1)]
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize("use", USES)
def test_what_is_loaded_already_makes_no_other_learner(project, use):
    cold = learner_fingerprint(own(project, use, 1))
    learner = own(project, use, 1)
    for module in ("helper", "far.away", "far.settings", "near", "own.beside"):
        importlib.import_module(module)
    assert learner_fingerprint(learner) == cold == learner_fingerprint(learner)


def edit_helpers(project):
    project.write(**{name: text.format(2) for name, text in HELPERS.items()})


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("loaded", ["before", "after"])
def test_old_code_that_is_loaded_is_not_taken_for_the_new(project, use, loaded):
    """Its results would be kept under the name of the new code's."""
    learner = own(project, use, 1)
    modules = ("helper", "far.away", "far.settings", "near", "own.beside")
    if loaded == "before":
        [*map(importlib.import_module, modules)]
    before = learner_fingerprint(learner)
    [*map(importlib.import_module, modules)]
    edit_helpers(project)
    mixed = learner_fingerprint(learner)
    assert mixed == learner_fingerprint(learner)
    assert len({before, mixed, learner_fingerprint(own(project, use, 2))}) == 3


@pytest.mark.parametrize("use", [use for use in USES if use not in {"by text", "in no name"}])
def test_old_code_that_was_edited_before_anybody_looked(project, use):
    learner = own(project, use, 1)
    [*map(importlib.import_module, ("helper", "far.away", "far.settings", "near", "own.beside"))]
    edit_helpers(project)
    assert learner_fingerprint(learner) != learner_fingerprint(own(project, use, 2))


@pytest.mark.parametrize(
    "made", ["lambda X: helper.f(X)", "lambda X, it=helper: it.f(X)", "lambda X, *, it=helper: it.f(X)"]
)
def test_old_modules_around_a_function(project, made):
    source = f"def make():\n  import helper\n  return {made}"
    project.write(factory=source, helper="def f(X): return 1")
    function = project.load("factory").make()
    project.write(helper="def f(X): return 2")
    assert of_part(function) != of_part(project.load("factory").make())


def test_values_that_are_put_into_a_module_count_as_far_as_they_are_named(project, monkeypatch):
    learner = own(project, "a constant two modules away", 1)
    before = learner_fingerprint(learner)
    monkeypatch.setattr(sys.modules["far.settings"], "OTHER", 2, raising=False)
    assert learner_fingerprint(learner) == before
    monkeypatch.setattr(sys.modules["far.settings"], "ALPHA", 2)
    assert learner_fingerprint(learner) != before


@pytest.mark.parametrize(
    "code", ["def made(X): return near.away.g(X.X)", "def made(X):\n  import near\n  near.away.g(X.X)"]
)
def test_a_notebook_uses_modules(project, code):
    prints = []
    for n in (1, 2, 1):
        own(project, "two modules away", n)
        project.write(near="import threading\nfrom far import away\nX = threading.Lock()")
        scope = {"__name__": "__main__", "near": project.load("near")}
        exec(code, scope)
        prints.append(of_part(scope["made"]))
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize("source", ["raise SystemExit", "import nowhere", "def broken(:", "1 / 0"])
def test_a_helper_that_fails_is_the_business_of_the_fit(project, source):
    prints = []
    for n in (1, 2):
        own(project, "imported inside", 1)
        project.write(helper=f"{source}  # {n}")
        prints.append(learner_fingerprint(project.load("own.learner").Own()))
    assert prints[0] != prints[1]


def test_what_no_helper_is_makes_no_other_learner(project):
    before = learner_fingerprint(own(project, "imported inside", 1))
    project.write(near="1", far__settings="2", unused="3")
    assert learner_fingerprint(project.load("own.learner").Own()) == before


def test_edited_file_with_the_name_of_one_of_python(project):
    prints = []
    for n in (1, 2):
        project.write(colorsys=OWN.format("", f"return {n}"))
        prints.append(learner_fingerprint(project.load("colorsys").Own()))
    assert prints[0] != prints[1]


def test_metaclasses_without_a_file_are_code_too():
    code = "class Meta(type):\n  def __call__(cls): return {}\nclass made(metaclass=Meta): pass"
    assert all_differ([interactive(code.format(n)) for n in (1, 2)], of_part)
    assert same(*(interactive(code.format(1)) for _ in range(2)), of=of_part)


def test_other_processes_agree(project):
    command = "from own.learner import Own; from stackkit._store.fingerprint import learner_fingerprint as print_of; "
    for use in ("from a package, imported inside", "two modules away"):
        found = {learner_fingerprint(own(project, use, 1))}
        path = os.pathsep.join(part for part in sys.path if part)
        environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": path}  # another one than here
        code = f"{command}import far.away, near; print(print_of(Own()))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        found.add(done.stdout.strip())
        assert len(found) == 1


# --- versions -----------------------------------------------------------------------------------------


def test_class_of_a_library_is_known_by_its_version(monkeypatch):
    import sklearn

    before = learner_fingerprint(Ridge())
    monkeypatch.setattr(sklearn, "__version__", "0.0")
    assert learner_fingerprint(Ridge()) != before


def test_a_library_is_known_by_its_version_and_by_those_that_it_requires(project):
    requires = {"low": [], "middle": ["low (>=1)", "nowhere; sys_platform == 'none'"]}
    requires["high"] = ["middle[more]>=1 ; python_version > '3'", "extra; extra == 'all'", "NumPy"]
    versions = {"extra": "1", "low": "1", "middle": "1", "high": "1"}

    def found(**other):
        for name, version in (versions | other).items():
            project.install(name, version, requires.get(name, ()), "class Thing: pass\n")
        return of_part(project.load("high").Thing)

    before = found()
    assert found() == found(extra="2") == before
    assert len({before, found(low="2"), found(middle="2"), found(high="2")}) == 4


def test_requirements_may_go_in_circles(project):
    project.install("one", "1", ["other"])
    project.install("other", "1", ["one"])
    assert _origin.version_of("one") == "one, one 1, other 1"


def test_a_module_may_have_another_name_than_its_distribution(project):
    project.install("the-module", "1")
    (project.folder / "site-packages" / "the_module-1.dist-info").rename(
        project.folder / "site-packages" / "python_the_module-1.dist-info"
    )
    about = project.folder / "site-packages" / "python_the_module-1.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("Name: the-module", "Name: python-the-module"))
    project.refresh()
    assert _origin.version_of("the_module") == "the_module, python-the-module 1"


@pytest.mark.parametrize("use", [("import high", "pass"), ("", "import high"), ("", "from high import Thing")])
def test_libraries_that_code_imports_count_whether_they_are_loaded_or_not(project, use):
    prints = []
    for version in ("1", "2", "1"):
        project.install("high", version)
        project.write(of_the_user=OWN.format(*use))
        prints.append(learner_fingerprint(project.load("of_the_user").Own()))
    assert prints[0] == prints[2] != prints[1]
    importlib.import_module("high")
    assert learner_fingerprint(sys.modules["of_the_user"].Own()) == prints[0]


def test_what_a_library_makes_at_run_time_is_the_library(project):
    source = "import sys, types\nmade = sys.modules['high.made'] = types.ModuleType('high.made')"
    project.install("high", "1", source=source)
    project.write(of_the_user=OWN.format("", "from high import made"))
    before = learner_fingerprint(project.load("of_the_user").Own())
    importlib.import_module("high")
    assert learner_fingerprint(sys.modules["of_the_user"].Own()) == before


def test_another_version_is_loaded_than_is_installed_by_now(project):
    project.install("high", "1", source="__version__ = '1'\nclass Thing: pass\n")
    before = of_part(project.load("high").Thing)
    old = sys.modules["high"].Thing
    project.install("high", "2", source="__version__ = '2'\nclass Thing: pass\n")
    mixed = of_part(old)
    assert len({before, mixed, of_part(project.load("high").Thing)}) == 3


@pytest.mark.parametrize("name", ["torch", "skorch"])
def test_networks_are_of_their_libraries(project, name):
    learners = [BNMLPClassifier(), RandomForestClassifier(), Ridge(), ConvexClassifier()]
    before = [learner_fingerprint(learner) for learner in learners]
    project.install(name, "999", source=None)
    after = [learner_fingerprint(learner) for learner in learners]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, False, False, False]


def test_boosted_trees_are_of_theirs(project):
    from xgboost import XGBClassifier

    from stackkit._learners.boosting import StoppedXGBClassifier

    learners = [XGBClassifier(), StoppedXGBClassifier(), Ridge(), BNMLPClassifier()]
    before = [learner_fingerprint(learner) for learner in learners]
    project.install("xgboost", "999", source=None)
    after = [learner_fingerprint(learner) for learner in learners]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, True, False, False]
