"""scikit-learn's own tests of its stackers, asked of ours after swapping the import."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.naive_bayes import GaussianNB

import stackkit

SWAPPED = """
import stackkit


class StackingClassifier(stackkit.StackingClassifier):
    {init}


class StackingRegressor(stackkit.StackingRegressor):
    {init}


"""
# scikit-learn's way to predict new rows, on which some of its tests rely; all else as it is.
INIT = """def __init__(
        self, estimators=None, final_estimator=None, *, preset="fast", cv=None, stack_method="auto", passthrough=False,
        refit=True, levels=None, n_jobs=None, memory=None, on_error="raise", task_timeout=None, time_limit=None,
        max_memory=None, random_state=None, verbose=False,
    ):
        super().__init__(
            estimators, final_estimator, preset=preset, cv=cv, stack_method=stack_method, passthrough=passthrough,
            refit=refit, levels=levels, n_jobs=n_jobs, memory=memory, on_error=on_error, task_timeout=task_timeout,
            time_limit=time_limit, max_memory=max_memory, random_state=random_state, verbose=verbose,
        )"""
KNOWN = {
    # Learners that are fitted already are asked for each fold's rows, not for all at once, as their mock wants.
    "test_stacking_prefit": 2,
    # The number of columns is ours, not that of the first learner, which may have none.
    "test_stacking_without_n_features_in": 2,
}


def test_other_libraries_know_them_by_scikit_learns_classes():
    """sktime, skforecast and others ask for the mixins, not for tags, and took them for transformers."""
    assert issubclass(stackkit.StackingClassifier, ClassifierMixin)
    assert issubclass(stackkit.StackingRegressor, RegressorMixin)
    assert not issubclass(stackkit.StackingClassifier, RegressorMixin)
    X, y = load_iris(return_X_y=True)
    model = stackkit.StackingClassifier([GaussianNB()]).fit(X, y)
    assert model.score(X, y, np.arange(150)) == accuracy_score(y, model.predict(X), sample_weight=np.arange(150))


@pytest.mark.slow
def test_all_but_the_known_ones_pass(tmp_path):
    found = importlib.util.find_spec("sklearn.ensemble.tests.test_stacking")
    if found is None:
        pytest.skip("this scikit-learn comes without its tests")
    text = Path(found.origin).read_text(encoding="utf8")
    text, n_swapped = re.subn(r"^    Stacking(Classifier|Regressor),\n", "", text, flags=re.MULTILINE)
    assert n_swapped == 2
    # Five trees are enough, but where the sums of their shares are looked at, in a list of one estimator a line.
    forest = r"([(,] ?RandomForest(?:Classifier|Regressor)\()(random_state=42)?\)"
    text, n_forests = re.subn(forest, r"\1n_estimators=5, \2)", text)
    assert n_forests > 3
    start = text.index("\n\n", text.index("from sklearn.utils.fixes")) + 1
    program = text[:start] + SWAPPED.replace("{init}", INIT) + text[start:]
    (tmp_path / "test_swapped.py").write_text(program, encoding="utf8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rf", "test_swapped.py"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    failed = re.findall(r"^FAILED \S+::(\w+)", done.stdout, flags=re.MULTILINE)
    assert {name: failed.count(name) for name in failed} == KNOWN, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 70
