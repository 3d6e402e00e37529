"""The site's pages: their code runs, and the reference has every public name."""

import re
import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PUBLIC = runpy.run_path(str(DOCS / "_ext" / "public.py"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def blocks_of(page):
    return BLOCK.findall(page.read_text(encoding="utf8"))


def made_cheap(code):
    """Forests take long, and what a page says of them does not hang on their size."""
    return re.sub(r"(RandomForest|ExtraTrees)(Classifier|Regressor)\(\)", r"\1\2(10)", code)


WITH_CODE = [page for page in sorted(DOCS.rglob("*.md")) if page != DOCS / "index.md" and blocks_of(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    """One block after the other, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for block in blocks_of(page):
        exec(compile(made_cheap(block), str(page), "exec"), names)


@pytest.mark.slow
def test_the_code_of_the_readme_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks_of(ROOT / "README.md")
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    shown = capsys.readouterr().out
    assert "stack " in shown
    assert "bn_mlp" in shown
    assert (tmp_path / "report.html").stat().st_size > 100_000


def test_there_are_pages_with_code():
    assert DOCS / "networks.md" in WITH_CODE


def test_the_start_page_has_the_first_example():
    """It is run with the examples, and what it prints is compared there."""
    example = (ROOT / "examples" / "00_first_stack.py").read_text(encoding="utf8")
    for line in blocks_of(DOCS / "index.md")[0].splitlines():
        assert line in example.splitlines(), line


def test_examples_are_called_by_their_names():
    """They have been renumbered once."""
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    examples = {path.name for path in (ROOT / "examples").glob("*.py")}
    called = {(page.name, name) for page in pages for name in re.findall(r"\d\d_\w+\.py", page.read_text("utf8"))}
    assert {name for _, name in called} >= {"00_first_stack.py", "13_blend_files.py"}
    assert not {(page, name) for page, name in called if name not in examples}


def test_the_reference_has_every_public_name():
    """A page has `.. currentmodule:: stackkit.plots`, and below it the names, each on a line of its own."""
    found = []
    for page in (DOCS / "reference").glob("*.md"):
        for part in re.split(r"^\.\. currentmodule:: ", page.read_text(encoding="utf8"), flags=re.MULTILINE)[1:]:
            module, *lines = part.splitlines()
            found += [f"{module}.{line.strip()}" for line in lines if re.fullmatch(r"   \w+", line)]
    expected = [name for module in PUBLIC["MODULES"] for name in PUBLIC["public_names"](import_module(module))]
    assert sorted(found) == sorted(expected)


def test_no_public_module_is_left_out():
    """What users import from: folders and files without an underscore, but for the command and the report's maker."""
    package = ROOT / "stackkit"
    modules = {path.stem for path in package.iterdir() if not path.name.startswith(("_", "py.typed"))}
    public = {name.split(".")[1] for name in PUBLIC["MODULES"] if "." in name}
    assert modules - {"cli", "report"} == public


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_tells_what_it_is_for(example, monkeypatch, capsys):
    """`--help` is answered before anything is computed."""
    monkeypatch.setattr(sys, "argv", [str(example), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(example), run_name="__main__")
    assert not ended.value.code
    assert "usage: " in capsys.readouterr().out
