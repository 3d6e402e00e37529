"""The layout is a promise: who imports whom, what loads when, what is public."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stackkit

PACKAGE = Path(stackkit.__file__).parent
# In the order in which data flows; each module may import only those named before it.
ORDER = [
    "exceptions",
    "_checks",
    "_folds",
    "_members",
    "_tasks",
    "_scores",
    "_oof",
    "_blend",
    "_selection",
    "_learners",
    "_final",
    "_passthrough",
    "_stacking",
    "datasets",
]
# scikit-learn has no public name for the block of its HTML diagram.
PRIVATE_ALLOWED = {("_stacking", "sklearn.utils._repr_html.estimator")}


def _imports(module):
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []


def test_every_module_has_its_place():
    assert sorted(ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", ORDER)
def test_imports_run_one_way(module):
    earlier = {f"stackkit.{name}" for name in ORDER[: ORDER.index(module)]}
    own = {name for name, _ in _imports(module) if name.partition(".")[0] == "stackkit"}
    assert own <= earlier


@pytest.mark.parametrize("module", ORDER)
def test_no_private_name_of_scikit_learn(module):
    for source, names in _imports(module):
        if source.partition(".")[0] == "sklearn" and (module, source) not in PRIVATE_ALLOWED:
            assert not [part for part in [*source.split("."), *names] if part.startswith("_")], source


@pytest.mark.parametrize("module", ORDER)
def test_every_module_has_a_test_file_of_its_name(module):
    if module != "exceptions":
        assert (Path(__file__).parent / f"test_{module.lstrip('_')}.py").exists()


def test_all_names_are_there_and_sorted():
    assert stackkit.__all__ == sorted(stackkit.__all__)
    for name in stackkit.__all__:
        assert getattr(stackkit, name).__doc__, name


def test_public_methods_are_documented():
    for name in stackkit.__all__:
        for key, member in vars(getattr(stackkit, name)).items() if isinstance(getattr(stackkit, name), type) else ():
            if not key.startswith("_") and callable(member):
                assert member.__doc__, f"{name}.{key}"


def test_import_is_light():
    code = "import sys, stackkit; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    assert "stackkit" in loaded
    assert not {"torch", "skorch", "xgboost", "matplotlib", "polars"} & set(loaded)
