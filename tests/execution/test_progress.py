"""The plan and the progress: on stderr or in a notebook's cell, and only when asked."""

import builtins
import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from spies import Counted, Together

from stackkit import StackingModel, cross_fit
from stackkit._execution.progress import progress

X, Y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2


def _words(text):
    """Without what a terminal draws, in one line."""
    return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split())


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_goes_to_stderr_and_only_when_asked(verbose, n_jobs, capsys):
    cross_fit([GaussianNB(), Together()], X, Y, cv=3, verbose=verbose, n_jobs=n_jobs)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("6/6" in captured.err) is verbose
    assert (captured.err != "") is verbose


def test_the_plan_comes_first_and_names_what_trains_all_folds_at_once(capsys):
    cross_fit([("bayes", GaussianNB()), ("tog", Together()), ("ether", Together())], X, Y, cv=4, verbose=True)
    text = _words(capsys.readouterr().err)
    assert text.startswith("stackkit: 3 learners, 12 fits; all folds at once: ether, tog;")


def test_the_plan_tells_what_is_kept_and_what_is_to_do(capsys, tmp_path):
    log, store = tmp_path / "log", tmp_path / "store"
    one, two = ("one", Counted(log)), ("two", Counted(log, scale=2.0))
    cross_fit([one], X, Y, cv=4, memory=store)
    assert capsys.readouterr() == ("", "")
    for to_do in (4, 0):
        cross_fit([one, two], X, Y, cv=4, memory=store, verbose=True)
        text = _words(capsys.readouterr().err)
        assert f"2 learners, 8 fits; {8 - to_do} are in the store, {to_do} to do" in text
        assert "8/8" in text  # what is kept is progress too
        assert "all folds at once" not in text


def test_refits_are_part_of_the_plan(capsys):
    StackingModel([("bayes", GaussianNB())], GaussianNB(), cv=4, refit=True, verbose=True).fit(X, Y)
    text = _words(capsys.readouterr().err)
    assert "1 learner, 5 fits; first a fold" in text
    assert "5/5" in text


def test_names_that_look_like_markup_are_names(capsys):
    with progress("plan of [bold]a[/bold]", 2, verbose=True) as advance:
        advance("a", 2)
    text = _words(capsys.readouterr().err)
    assert "plan of [bold]a[/bold]" in text
    assert "2/2" in text


def test_without_verbose_nobody_is_told(capsys):
    with progress("a plan", 3, verbose=False) as advance:
        advance("a", 3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a [red] one", "knn [/] 5", "[bold]"])
def test_a_learner_s_name_may_have_brackets(name, capsys):
    """In rich's markup [/] ends something, and where nothing was begun it is an error."""
    cross_fit([(name, GaussianNB())], X, Y, cv=2, verbose=True)
    assert f"({name})" in _words(capsys.readouterr().err)


# --- in a notebook ------------------------------------------------------------------------------------


class ZMQInteractiveShell:
    """The name by which rich knows a notebook."""


@pytest.fixture(params=["without ipywidgets", "with ipywidgets"])
def outputs(request, monkeypatch):
    """The outputs of a notebook's cell: of each, the texts that were shown in it, one after the other."""
    shown = []

    def display(thing, **options):
        versions = [thing._repr_mimebundle_((), ())["text/plain"]]
        shown.append(versions)
        if not options.get("display_id"):
            return None
        return SimpleNamespace(update=lambda thing: versions.append(thing._repr_mimebundle_((), ())["text/plain"]))

    modules = {"IPython": ModuleType("IPython"), "IPython.display": ModuleType("IPython.display"), "ipywidgets": None}
    modules["IPython.display"].display = display
    if request.param == "with ipywidgets":
        modules["ipywidgets"] = ModuleType("ipywidgets")
        modules["ipywidgets"].Output = None  # nobody needs it
    for name, found in modules.items():
        monkeypatch.setitem(sys.modules, name, found)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    return shown


def test_a_notebook_gets_the_plan_and_one_line_that_is_written_over(outputs, capsys, recwarn, monkeypatch):
    monkeypatch.setattr("stackkit._execution.progress.REDRAWN_AFTER", 0)
    cross_fit([("bayes", GaussianNB()), ("[/]", GaussianNB())], X, Y, cv=4, verbose=True)
    assert capsys.readouterr() == ("", "")
    assert not recwarn.list
    (plan,), line = outputs
    assert plan.startswith("stackkit: 2 learners, 8 fits")
    counts = [re.search(r"[0-9]+/8", text)[0] for text in line]
    assert list(dict.fromkeys(counts)) == [f"{n}/8" for n in range(9)]
    assert all(text.count("\n") == 1 for text in line)
    assert any("([/])" in text for text in line)


def test_a_notebook_is_not_flooded_and_sees_the_end(outputs, monkeypatch):
    monkeypatch.setattr("stackkit._execution.progress.REDRAWN_AFTER", 1000)
    with progress("a plan", 500, verbose=True) as advance:
        for _ in range(500):
            advance("a", 1)
    _, line = outputs
    assert len(line) == 2
    assert "500/500" in line[-1]


def test_a_notebook_sees_how_far_a_fit_came_that_fails(outputs, monkeypatch):
    monkeypatch.setattr("stackkit._execution.progress.REDRAWN_AFTER", 1000)

    def failing():
        with progress("a plan", 3, verbose=True) as advance:
            advance("a", 2)
            raise KeyError("a")

    with pytest.raises(KeyError):
        failing()
    assert "2/3" in outputs[-1][-1]


def test_a_notebook_without_verbose_shows_nothing(outputs):
    cross_fit([GaussianNB()], X, Y, cv=2)
    assert not outputs
