import ast
import importlib
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from projects import project_in

import stackkit
from stackkit._store.imports import BY_TEXT, NEUTRAL, OUR_CODE, Modules, OurCode, imported_by

FOLDER = Path(stackkit.__file__).parent
ENGINE, NET, TREES = "stackkit._execution.worker", "stackkit.nn._estimators", "stackkit._learners.boosting"
# The modules with which the classes that may be learners begin.
LEARNERS = [NET, TREES, "stackkit._blending.base", "stackkit._learners.preparation", "stackkit._model.stacking"]
KNOWN = {name: OUR_CODE._say(name) for name in OUR_CODE._sources}


@pytest.fixture
def project(tmp_path, monkeypatch):
    with project_in(tmp_path / "project", monkeypatch) as made:
        yield made


# --- what code imports --------------------------------------------------------------------------------


def several():
    import json.decoder
    from os import path, sep

    def inner():
        from . import beside
        from .near import f

        return f, beside

    return json, path, sep, inner


def test_imports_of_a_function():
    found = [*imported_by(several.__code__, "pkg")]
    assert found[:4] == ["json.decoder", "os", "os.path", "os.sep"]
    assert found[4:] == ["pkg", "pkg.beside", "pkg.near", "pkg.near.f"]


def test_imports_beyond_the_top_are_passed_over():
    assert [*imported_by(several.__code__, "")] == ["json.decoder", "os", "os.path", "os.sep"]


def test_imports_of_a_function_with_many_names():
    """So many that a name's number takes more than a byte."""
    scope = {}
    names = [f"name_{n}" for n in range(300)]
    exec(f"def long():\n {'; '.join(names)}\n from helper import f", scope)
    assert [*imported_by(scope["long"].__code__, "")] == ["helper", "helper.f"]


# --- whose a module is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        *(("json", "python"), ("sys", "python"), ("xml.dom", "python"), ("lib2to3.pytree", "python")),
        *(("numpy", "library"), ("sklearn.svm", "library"), ("torch._C._nn", "library"), ("torch.classes", "library")),
        *(("stackkit", "ours"), ("stackkit.nn._skorch_adapter", "ours"), ("projects", "user"), ("__main__", "user")),
        *(("", None), ("of.nobody", None), ("..", None), ("mlxtend", None)),
    ],
)
def test_owners(name, owner):
    import torch  # noqa: F401 - has modules without a file

    place = Modules().place(name)
    assert (place and place.owner) == owner


def test_a_file_of_the_user_may_have_the_name_of_one_of_python(project):
    assert Modules().place("colorsys").owner == "python"
    project.write(colorsys="")
    sys.modules.pop("colorsys", None)
    assert Modules().place("colorsys").owner == "user"
    assert Modules().closure("colorsys") != Modules().closure("of_nobody")


def test_modules_are_found_without_being_run(project):
    project.write(pkg____init__="raise RuntimeError", pkg__sub="raise RuntimeError")
    place = Modules().place("pkg.sub")
    assert (place.owner, place.path, place.package) == ("user", project.folder / "pkg" / "sub.py", "pkg")
    assert "pkg" not in sys.modules


# --- closures -----------------------------------------------------------------------------------------

FORMS = {
    "import": "import helper",
    "from": "from helper import f",
    "star": "from helper import *",
    "of a package": "import pkg.sub",
    "from a package": "from pkg import sub",
    "from its module": "from pkg.sub import g",
    "in a function": "def f():\n  def g():\n    import helper",
    "in a class": "class A:\n  import helper",
    "somewhere": "try:\n  if True:\n    with x:\n      pass\nexcept E:\n  for x in y: pass\n  else:\n    import helper",
    "at last": "try: pass\nfinally: import helper",
    "by case": "match x:\n  case 1:\n    import helper",
    "by text": "from importlib import import_module\nf(1 + g(import_module('helper')))",
    "by text of a package": "import importlib\nimportlib.import_module('pkg.sub')",
    "by Python's own": "__import__('helper')",
    "through another": "import other",
    "through a package": "import whole",
}
SOURCES = {
    "helper": "def f(): return {}",
    "pkg____init__": "",
    "pkg__sub": "from .deeper import g",
    "pkg__deeper": "def g(): return {}",
    "other": "def f():\n  from helper import f",
    "whole____init__": "from .part import f",
    "whole__part": "import helper",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_closure_has_all_that_is_imported(project, form):
    found = []
    for n in (1, 2, 1):
        sources = {name: source.format(n) for name, source in SOURCES.items()}
        project.write(beginning=FORMS[form], unused=f"text = {n}", **sources)
        found.append(Modules().closure("beginning"))
    assert found[0] == found[2] != found[1]
    assert "helper" not in sys.modules


def test_a_closure_has_nothing_else(project):
    project.write(beginning="import helper", helper="", unused="1")
    before = Modules().closure("beginning")
    project.write(unused="2", helped="")
    assert Modules().closure("beginning") == before
    project.load("beginning")
    assert Modules().closure("beginning") == before


@pytest.mark.parametrize("source", ["from . import b\nimport pkg", "from pkg.b import f"])
def test_circles_end(project, source):
    project.write(pkg____init__="from pkg import a", pkg__a=source, pkg__b="from pkg import a\ndef f(): pass")
    closures = [Modules().closure(name)[0] for name in ("pkg", "pkg.a", "pkg.b")]
    assert closures[0] == closures[1] == closures[2]


@pytest.mark.parametrize("source", ["def broken(:", "\0", "import nowhere", "from .. import above"])
def test_what_cannot_be_imported_is_a_source_all_the_same(project, source):
    project.write(beginning="import helper", helper=source)
    before = Modules().closure("beginning")
    project.write(helper=f"{source} # edited")
    assert Modules().closure("beginning") != before


def test_a_script_that_is_run_as_a_module(project, monkeypatch):
    project.write(pkg____init__="", pkg____main__="from . import helper", pkg__helper="1")
    script = ModuleType("__main__")
    script.__file__, script.__package__ = str(project.folder / "pkg" / "__main__.py"), "pkg"
    monkeypatch.setitem(sys.modules, "__main__", script)
    before = Modules().closure("__main__")
    project.write(pkg__helper="2")
    assert Modules().closure("__main__") != before


def test_a_file_that_is_not_what_was_loaded(project):
    def seen(source=None):
        if source is not None:
            project.write(helper=source)
        return Modules().closure("helper")[0]

    old, new = seen("1"), seen("2")
    assert seen("1") == old != new
    importlib.import_module("helper")
    assert seen() == old
    mixed = seen("2")
    assert mixed not in {old, new}
    assert seen("1") == old
    assert seen("2") == mixed
    importlib.reload(sys.modules["helper"])
    assert seen() == new
    del sys.modules["helper"]
    assert seen("1") == old
    project.write(helper="2")
    importlib.import_module("helper")
    seen()
    assert seen("1") not in {old, new}  # for all that is known, either may have been loaded


def test_libraries_are_told_and_not_read(project):
    source = "import numpy.linalg, json, helper\nfrom sklearn import svm\nfrom stackkit.nn import BNMLPClassifier"
    project.write(beginning=source, helper="def f():\n  import torch")
    assert Modules().closure("beginning")[1] == {"numpy", "sklearn", "torch"}


# --- our own code -------------------------------------------------------------------------------------


def code_in(folder):
    """What did not change is not parsed again."""
    code = OurCode(folder)
    code._parsed |= {name: parsed for name, parsed in KNOWN.items() if code._sources[name] == OUR_CODE._sources[name]}
    return code


@pytest.fixture
def edit(tmp_path):
    """Edits a file of a copy of this package, and tells whose closure is another then."""
    folder = shutil.copytree(FOLDER, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    before = code_in(folder)

    def edit(file, old, new):
        source = (folder / file).read_text(encoding="utf8")
        assert old in source
        (folder / file).write_text(source.replace(old, new, 1), encoding="utf8")
        after = code_in(folder)
        return {name for name in (ENGINE, *LEARNERS) if before.closure(name) != after.closure(name)}

    return edit


def test_a_copy_is_the_same_code(tmp_path):
    code = OurCode(shutil.copytree(FOLDER, tmp_path / "copy"))
    closures = [code.closure(name) for name in (ENGINE, *LEARNERS)]
    assert closures == [OUR_CODE.closure(name) for name in (ENGINE, *LEARNERS)]
    assert len({digest for digest, _ in closures}) == len(closures)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("_members/fitting.py", '"""Fit one learner', '"""Fit a learner'),
        ("_members/fitting.py", '"""Whether it offers', '"""If it has'),
        ("_members/fitting.py", "    y, codes = target", "\n    # A comment.\n    y, codes = target"),
        ("nn/_packed_engine.py", '"""', '"""Edited. '),
        ("__init__.py", "import_module(", "import_module(name or "),
        ("report/report.py", "import", "import os\nimport"),
        ("plots/_drawing.py", "import", "import os\nimport"),
        ("_members/__init__.py", "In:", "With:"),
        ("cli/commands.py", "import", "import os\nimport"),
    ],
)
def test_what_decides_no_result(edit, file, old, new):
    assert edit(file, old, new) == set()


def test_what_decides_all(edit):
    assert ENGINE in edit("_members/fitting.py", "        learner.fit(", "        learner.fitted(")


def test_an_assertion_is_code(edit):
    assert ENGINE in edit("_execution/result_cache.py", "assert result.member", "assert not result.member")


def test_networks_are_the_business_of_networks(edit):
    assert edit("nn/_packed_engine.py", "import", "import os\nimport") == {NET, "stackkit._model.stacking"}
    # A stack that is given no learners has networks, and makes adapters of its own for raw nets.
    assert edit("nn/_skorch_adapter.py", "import", "import os\nimport") >= {"stackkit._model.stacking"}


def test_a_file_in_the_middle_of_an_edit_is_a_file(edit):
    assert edit("nn/_packed_engine.py", "def ", "def (:") == {NET, "stackkit._model.stacking"}


def test_our_libraries():
    def computes(name):
        return OUR_CODE.closure(name)[1] - {"numpy", "scipy", "sklearn", "pandas", "joblib"}

    assert (
        computes(ENGINE) == computes("stackkit._blending.base") == computes("stackkit._learners.preparation") == set()
    )
    assert computes(NET) == {"torch", "skorch"}
    assert computes(TREES) == {"xgboost"}
    assert computes("stackkit._model.stacking") == {"torch", "skorch", "xgboost", "lightgbm", "catboost"}


def test_our_sources_are_those_of_the_import(tmp_path):
    file = tmp_path / "_execution" / "worker.py"
    file.parent.mkdir()
    file.write_text("a = 1")
    code, other = OurCode(tmp_path), OurCode(tmp_path)
    before = code.closure(ENGINE)
    file.write_text("a = 2")
    assert other.closure(ENGINE) == before != OurCode(tmp_path).closure(ENGINE)


def test_the_package_itself_counts_where_it_is_asked_for(tmp_path):
    found = []
    for name, source in (
        ("__init__", "b = 1"),
        ("_execution/worker", "from stackkit import _other"),
        ("_other", ""),
        ("__init__", "b = 2"),
    ):
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(f"a = 1\n{source}")
        found.append([OurCode(tmp_path).closure(module) for module in (ENGINE, "stackkit")])
    assert found[1][0] != found[2][0] == found[3][0]
    assert found[2][1] != found[3][1]


def _texts():
    """Our imports by text: what would be missed, if it decided a result."""
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            is_import = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module"
            if is_import and isinstance(node.args[0], ast.Constant):
                yield ".".join(path.relative_to(FOLDER).with_suffix("").parts), node.args[0].value


def test_every_import_by_text_is_known():
    followed = {(name.removeprefix("stackkit."), text) for name, texts in BY_TEXT.items() for text in texts}
    others = {
        ("__init__", "stackkit.nn"),
        ("_execution.progress", "IPython.display"),
        ("_persistence.codecs", "stackkit._persistence.network_codecs"),
        ("_persistence.codecs", "xgboost"),
        ("_persistence.codecs", "lightgbm"),
        ("_persistence.codecs", "catboost"),
        ("_persistence.onnx_graph", "onnx"),
        ("_persistence.onnx_learners", "onnx"),
        ("_persistence.onnx_learners", "skl2onnx"),
        ("_persistence.onnx_learners", "skl2onnx.common.data_types"),
        ("_model.stacking", "stackkit.report"),
        ("_persistence.trees", "sklearn.tree._tree"),
    }
    assert set(_texts()) == followed | others


def test_what_a_folder_exports_counts_by_its_file(tmp_path):
    """Who imports one name of a folder does not depend on all of its files."""
    sources = {
        "_execution/__init__": "",
        "_execution/worker": "from stackkit._room import one",
        "_room/__init__": "from stackkit._room.first import one\nfrom stackkit._room.second import two",
        "_room/first": "one = 1",
        "_room/second": "two = 2",
    }

    def digest(**changed):
        for name, source in (sources | {key.replace("__", "/"): text for key, text in changed.items()}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / f"{name}.py").write_text(source)
        return OurCode(tmp_path).closure(ENGINE)

    before = digest()
    assert digest(_room__second="two = 3") == before
    assert digest(_room__first="one = 3") != before


def test_what_is_neutral_is_used():
    sources = "\n".join(path.read_text(encoding="utf8") for path in FOLDER.rglob("*.py"))
    assert [name for name in NEUTRAL if not re.search(rf"^ *(import|from) {name}\b", sources, re.MULTILINE)] == []
