"""The list of tasks, and their seeds."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spies import Noisy, Together, job_of

from stackkit._execution.tasks import ALL_ROWS, make_tasks, seeded

# --- the list of tasks --------------------------------------------------------------------------------


def test_one_flat_list_all_first_folds_first():
    tasks = make_tasks([("a", GaussianNB()), ("b", GaussianNB())], range(3), entropy=0)
    assert [(task.name, task.folds) for task in tasks] == [(name, (fold,)) for fold in range(3) for name in "ab"]


def test_a_learner_with_fit_folds_is_one_task_but_is_refitted_alone():
    learners = [("together", Together()), ("bayes", GaussianNB())]
    assert [task.folds for task in make_tasks(learners, range(2), 0)] == [(0, 1), (0,), (1,)]
    assert [task.folds for task in make_tasks(learners, [ALL_ROWS], 0)] == [(ALL_ROWS,), (ALL_ROWS,)]


def test_two_tasks_are_never_the_same_one():
    """They are looked up by identity: equal learners with equal folds are two tasks all the same."""
    tasks = make_tasks([("a", GaussianNB())], [0], 0) + make_tasks([("a", GaussianNB())], [0], 0)
    assert len(set(tasks)) == 2


# --- rows ---------------------------------------------------------------------------------------------


def test_a_fit_on_all_rows_tests_none():
    X, y = np.zeros((9, 1)), np.arange(9) % 3
    job = job_of([("a", GaussianNB())], X, y, cv=3)
    for fold in range(3):
        train, (test,) = job.training_rows(fold), job.test_parts(fold)
        assert sorted([*train, *test]) == list(range(9))
    assert job.training_rows(ALL_ROWS).tolist() == list(range(9))
    assert [len(part) for part in job.test_parts(ALL_ROWS)] == [0]


def test_the_refitted_member_is_kept_in_any_case():
    X, y = np.zeros((9, 1)), np.arange(9) % 3
    job = job_of([("a", GaussianNB())], X, y, keep_members=False)
    assert not job.keeps_member(0)
    assert job.keeps_member(ALL_ROWS)


# --- seeds --------------------------------------------------------------------------------------------


def test_seeds_depend_on_root_learner_and_fold():
    def seed(*key):
        return seeded(Noisy(), *key).random_state

    assert seed(0, "a", 0) == seed(0, "a", 0)
    others = {seed(0, "a", 0), seed(1, "a", 0), seed(0, "b", 0), seed(0, "a", 1), seed(0, "a", ALL_ROWS)}
    assert len(others) == 5


def test_nested_open_seeds_are_set_and_the_original_is_not():
    original = make_pipeline(StandardScaler(), RandomForestClassifier())
    learner = seeded(original, 0, "forest", 0)
    assert isinstance(learner[-1].random_state, int)
    assert original[-1].random_state is None


def test_seeds_fit_every_library():
    seeds = [seeded(Noisy(), 0, "a", fold).random_state for fold in range(200)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == 200
