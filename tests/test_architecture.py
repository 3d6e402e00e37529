"""The layout is a promise: who imports whom, what loads when, what is public."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stackkit
import stackkit.evaluation
import stackkit.plots

PACKAGE = Path(stackkit.__file__).parent
# In the order in which data flows; each module may import only those named before it.
ORDER = [
    "exceptions",
    "_files",
    "_archive",
    "_versions",
    "_checks",
    "_folds",
    "_time_split",
    "_class_weights",
    "_threads",
    "_shortcuts",
    "_members",
    "_panels",
    "_contents",
    "_imports",
    "_origin",
    "_fingerprint",
    "_shelf",
    "_store",
    "_tasks",
    "_callbacks",
    "_limits",
    "_memory",
    "_recall",
    "_work",
    "_crews",
    "_dask",
    "_progress",
    "_schedule",
    "_failures",
    "_scores",
    "_oof",
    "_intervals",
    "_blend",
    "_selection",
    "_inner_split",
    "_boosting",
    "_preparation",
    "_columns",
    "_learners",
    "_final",
    "_plan",
    "_nested",
    "_second_level",
    "_leaderboard",
    "_passthrough",
    "_levels",
    "_predictor",
    "_compact",
    "_stacking",
    "_frames",
    "_audit",
    "_trees",
    "_parts",
    "_codecs",
    "_saving",
    "_scoring",
    "_diversity",
    "evaluation",
    "report",
    "_tables",
    "_problem",
    "_problem_folds",
    "_model_file",
    "_printed",
    "_command",
    "cli",
    "datasets",
]
# The same for the folder of networks, whose modules may import `_checks`, `_inner_split` and `_members` besides, and
# the last one what a file is made of.
NETWORKS = [
    "batchnorm",
    "_augment",
    "_modules",
    "_numerics",
    "_joint",
    "_batches",
    "_recipe",
    "_pupil",
    "_packed",
    "_solo",
    "_training",
    "_enrolment",
    "_parameters",
    "_learner",
    "_kinds",
    "_estimators",
    "_raw",
    "_codecs",
]
# The same for the folder of pictures. It stands right before `report`: its modules may import all of ORDER before
# that, and `report` and what follows may import the folder.
PLOTS = [
    "_drawing",
    "_inputs",
    "_leaderboard",
    "_correlation",
    "_weights",
    "_reliability",
    "_curves",
    "_hardest",
]
# scikit-learn has no public name for the block of its HTML diagram.
PRIVATE_ALLOWED = {("_stacking", "sklearn.utils._repr_html.estimator")}


def _imports(module):
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []


def _own_imports(module):
    for source, names in _imports(module):
        if source == "stackkit" and names:  # such as `from stackkit import plots`
            yield from (f"stackkit.{name}" for name in names)
        elif source.partition(".")[0] == "stackkit":
            yield source


def _before(module):
    return {f"stackkit.{name}" for name in ORDER[: ORDER.index(module)]}


def test_every_module_has_its_place():
    assert sorted(ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
    assert sorted(NETWORKS) == sorted(path.stem for path in PACKAGE.glob("nn/*.py") if path.stem != "__init__")
    assert sorted(PLOTS) == sorted(path.stem for path in PACKAGE.glob("plots/*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", ORDER)
def test_imports_run_one_way(module):
    folder = {"stackkit.plots"} if ORDER.index(module) >= ORDER.index("report") else set()
    assert set(_own_imports(module)) <= _before(module) | folder


@pytest.mark.parametrize("module", NETWORKS)
def test_imports_of_networks_run_one_way(module):
    earlier = {f"stackkit.nn.{name}" for name in NETWORKS[: NETWORKS.index(module)]}
    earlier |= {"stackkit._checks", "stackkit._inner_split", "stackkit._members"}
    earlier |= {"stackkit._audit", "stackkit._parts"} if module == "_codecs" else set()
    assert set(_own_imports(f"nn.{module}")) <= earlier


@pytest.mark.parametrize("module", PLOTS)
def test_imports_of_pictures_run_one_way(module):
    earlier = {f"stackkit.plots.{name}" for name in PLOTS[: PLOTS.index(module)]}
    assert set(_own_imports(f"plots.{module}")) <= earlier | _before("report")


@pytest.mark.parametrize("module", [*ORDER, *(f"nn.{name}" for name in NETWORKS), *(f"plots.{name}" for name in PLOTS)])
def test_no_private_name_of_scikit_learn(module):
    for source, names in _imports(module):
        if source.partition(".")[0] == "sklearn" and (module, source) not in PRIVATE_ALLOWED:
            assert not [part for part in [*source.split("."), *names] if part.startswith("_")], source


@pytest.mark.parametrize("module", ORDER)
def test_every_module_has_a_test_file_of_its_name(module):
    if module != "exceptions":
        assert (Path(__file__).parent / f"test_{module.lstrip('_')}.py").exists()


@pytest.mark.parametrize("module", NETWORKS)
def test_every_module_of_networks_has_a_test_file_of_its_name(module):
    assert (Path(__file__).parent / "nn" / f"test_{module.lstrip('_')}.py").exists()


@pytest.mark.parametrize("module", PLOTS)
def test_every_module_of_pictures_has_a_test_file_of_its_name(module):
    assert (Path(__file__).parent / "plots" / f"test_{module.lstrip('_')}.py").exists()


@pytest.mark.parametrize(
    "package",
    [stackkit, stackkit.evaluation, stackkit.plots, stackkit.nn, stackkit.nn.batchnorm],
    ids=lambda package: package.__name__,
)
def test_all_names_are_there(package):  # that they are sorted is for the linter to see
    for name in package.__all__:
        assert getattr(package, name).__doc__, name


@pytest.mark.parametrize(
    "package", [stackkit, stackkit.evaluation, stackkit.plots, stackkit.nn], ids=lambda p: p.__name__
)
def test_public_methods_are_documented(package):
    for name in package.__all__:
        for key, member in vars(getattr(package, name)).items() if isinstance(getattr(package, name), type) else ():
            if not key.startswith("_") and callable(member) and key != "forward":  # torch's name for a call
                assert member.__doc__, f"{name}.{key}"


def test_networks_load_when_asked_for():
    assert "nn" in dir(stackkit)
    with pytest.raises(AttributeError, match="module 'stackkit' has no attribute 'networks'"):
        stackkit.networks  # noqa: B018


def test_import_is_light():
    code = "import sys, stackkit; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    assert "stackkit" in loaded
    assert not {"torch", "skorch", "xgboost", "skops", "matplotlib", "polars", "distributed"} & set(loaded)
    # A second loky beside joblib's own: the tracker of joblib's memory-mapped files loses count, and says so on stderr.
    assert "loky" not in loaded
