"""The layout is a promise: who imports whom, what loads when, what is public."""

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import stackkit
import stackkit.evaluation
import stackkit.inspection
import stackkit.plots
import stackkit.uncertainty

PACKAGE = Path(stackkit.__file__).parent
# Which folder, or file that stands alone, imports which: these edges and no others, lazy ones included.
EDGES = {
    "exceptions": "",
    "datasets": "",
    "_utils": "",
    "_data": "_utils exceptions",
    "_members": "_data _utils",
    "_store": "_data _utils",
    "_execution": "_data _members _store _utils exceptions",
    "nn": "_data _utils",
    "_learners": "_data _utils exceptions nn",
    "_oof": "_data _execution _learners _members _store _utils exceptions",
    "_blending": "_data _learners _members _utils exceptions",
    "_assessment": "_blending _data _execution _members _oof _utils",
    "plots": "_assessment _blending _data _members _oof _utils",
    "report": "_assessment _blending _data _learners _oof _utils exceptions plots",
    "_model": "_assessment _blending _data _execution _learners _members _oof _utils exceptions report",
    "evaluation": "_assessment _blending _data _members _model _oof _utils exceptions",
    "inspection": "_assessment _blending _data _model _utils",
    "uncertainty": "_assessment _data _members _model _oof _utils",
    "_persistence": "_blending _data _learners _members _model _oof _utils exceptions nn",
    "cli": "_assessment _blending _data _learners _model _oof _persistence _store _utils evaluation exceptions report",
    "__init__": "_blending _learners _model _oof _persistence _store nn",
    "__main__": "cli",
}
# Others import a folder, never a file inside it. But what loads torch or xgboost is imported by its file, when it is
# needed; and `_persistence.network_codecs` describes what is inside networks.
INNER_FILES = {
    ("_learners", "stackkit.nn._skorch_adapter"),
    ("_persistence", "stackkit._learners.boosting"),
    ("_persistence", "stackkit._learners.cat_boosting"),
    ("_persistence", "stackkit._learners.light_boosting"),
    ("_persistence", "stackkit.nn._packed_inference"),
}
# What loads torch or matplotlib is imported inside functions, except by modules that are themselves imported so.
LAZY = {"nn", "report", "plots"}
LOADED_LAZILY = {"report", "plots", "nn", "_persistence.network_codecs", "cli.commands"}
# scikit-learn has no public name for the block of its HTML diagram.
PRIVATE_ALLOWED = {("_model.diagram", "sklearn.utils._repr_html.estimator")}
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def _path(module):
    path = PACKAGE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(module):
    """Modules, and what is imported from each; by texts such as those given to `import_module`, too."""
    tree = ast.parse(_path(module).read_text(encoding="utf8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if re.fullmatch(r"stackkit(\.\w+)+", text) and _path(text.removeprefix("stackkit.")).exists():
                yield text, []


def _own_imports(module):
    for source, names in _imports(module):
        if source == "stackkit" and names:  # such as `from stackkit import plots`
            yield from (f"stackkit.{name}" for name in names)
        elif source.startswith("stackkit."):
            yield source


def _folder(module):
    return module.removeprefix("stackkit.").partition(".")[0]


def _edges():
    found = {_folder(module): set() for module in MODULES}
    for module in MODULES:
        if module != "_store.imports":  # it has names of modules as data
            found[_folder(module)] |= {_folder(source) for source in _own_imports(module)} - {_folder(module)}
    return found


def test_imports_are_those_of_the_table():
    assert _edges() == {folder: set(imports.split()) for folder, imports in EDGES.items()}


def test_there_are_no_circles():
    """Whatever is imported is above: so the table can be read from its first line on."""
    order = list(EDGES)
    for folder, imports in EDGES.items():
        assert {order.index(other) for other in imports.split()} <= set(range(order.index(folder))), folder


def test_there_are_few_rooms_and_they_are_on_one_floor():
    # Rooms, as in the table above: the marker py.typed is none.
    entries = {path.name for path in PACKAGE.iterdir() if not path.name.startswith("__")} - {"py.typed"}
    assert len(entries) <= 20, sorted(entries)
    deep = {path.parent.relative_to(PACKAGE) for path in PACKAGE.glob("*/*/*.py")}
    assert deep <= {Path("_execution/backends")}


@pytest.mark.parametrize("module", MODULES)
def test_nobody_reaches_into_a_folder(module):
    for source in _own_imports(module) if module != "_store.imports" else ():
        inner = source.count(".") > 1 and _folder(source) != _folder(module)
        lazily = (_folder(module), source) in INNER_FILES or module == "_persistence.network_codecs"
        assert not inner or lazily, source


@pytest.mark.parametrize("folder", sorted({_folder(module) for module in MODULES if "." in module} - {"cli", "report"}))
def test_a_folder_exports_what_others_use_and_nothing_else(folder):
    exported = set(import_module(f"stackkit.{folder}").__all__)
    if not folder.startswith("_"):
        return  # for users
    used = set()
    for module in MODULES:
        if _folder(module) != folder:
            used |= {name for source, names in _imports(module) if source == f"stackkit.{folder}" for name in names}
    assert used == exported


@pytest.mark.parametrize("module", [module for module in MODULES if _folder(module) not in LAZY])
def test_what_is_heavy_is_imported_when_it_is_needed(module):
    if module in LOADED_LAZILY:
        return
    for node in ast.parse(_path(module).read_text(encoding="utf8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            heavy = {"torch", "skorch", "xgboost", "matplotlib"} & {name.partition(".")[0]}
            assert not heavy or module == "_learners.boosting", name
            assert name.partition(".")[0] != "stackkit" or _folder(name) not in LAZY, name


@pytest.mark.parametrize("module", MODULES)
def test_no_private_name_of_scikit_learn(module):
    for source, names in _imports(module):
        if source.partition(".")[0] == "sklearn" and (module, source) not in PRIVATE_ALLOWED:
            assert not [part for part in [*source.split("."), *names] if part.startswith("_")], source


@pytest.mark.parametrize(
    "package",
    [
        stackkit,
        stackkit.evaluation,
        stackkit.inspection,
        stackkit.plots,
        stackkit.uncertainty,
        stackkit.nn,
        stackkit.nn.batchnorm,
    ],
    ids=lambda package: package.__name__,
)
def test_all_names_are_there(package):  # that they are sorted is for the linter to see
    for name in package.__all__:
        assert getattr(package, name).__doc__, name


@pytest.mark.parametrize(
    "package",
    [stackkit, stackkit.evaluation, stackkit.plots, stackkit.uncertainty, stackkit.nn],
    ids=lambda p: p.__name__,
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
