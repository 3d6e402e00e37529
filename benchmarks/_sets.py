"""Public and made data sets of many kinds, small enough that many stacks can be fitted to them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from _data import load_mnist, load_otto
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_friedman1,
    make_friedman2,
    make_gaussian_quantiles,
    make_hastie_10_2,
    make_moons,
    make_regression,
)
from sklearn.model_selection import train_test_split

from stackkit.datasets import load_titanic


@dataclass(frozen=True)
class DataSet:
    """With `n_train`, that many rows train and up to 4,000 others test; else a quarter tests."""

    name: str
    task: str
    X: Any
    y: np.ndarray
    n_train: int | None = None

    def split(self, seed):
        strata = self.y if self.task == "classification" else None
        sizes = {"test_size": 0.25}
        if self.n_train:
            sizes = {"train_size": self.n_train, "test_size": min(4000, len(self.y) - self.n_train)}
        train, test = train_test_split(np.arange(len(self.y)), stratify=strata, random_state=seed, **sizes)
        take = (lambda rows: self.X.iloc[rows]) if hasattr(self.X, "iloc") else (lambda rows: self.X[rows])
        return take(train), take(test), self.y[train], self.y[test]


def shop(n=3000, seed=7):
    """Orders of a shop, raw: amounts with gaps, a date, categories of few and of many levels; were they sent back?"""
    rng = np.random.default_rng(seed)
    town = rng.integers(0, 200, n)
    kind = rng.choice(["shoes", "books", "toys", "tools", "garden"], n, p=[0.3, 0.3, 0.2, 0.1, 0.1])
    amount, day = rng.lognormal(3, 0.8, n), rng.integers(0, 730, n)
    logit = 1.2 * (kind == "shoes") - 1.5 * (kind == "books") + 0.5 * np.sin(day / 58) + 0.4 * (town % 7 == 0)
    logit += 0.02 * np.minimum(amount, 60) * (kind != "tools") - 1
    frame = pd.DataFrame(
        {
            "kind": np.where(rng.random(n) < 0.03, None, kind),
            "town": [f"town {number}" for number in town],
            "amount": np.where(rng.random(n) < 0.1, np.nan, amount),
            "ordered": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D"),
            "returning": rng.random(n) < 0.4,
        }
    )
    return frame, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)


def steps(n=2000, seed=8):
    """Numbers that jump at thresholds of a few columns: what trees are made for."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, 10))
    y = 3.0 * (X[:, 0] > 0.4) + 2 * (X[:, 1] > 0.7) * (X[:, 2] < 0.5) + (X[:, 3] > 0.2)
    return X, y + rng.normal(scale=0.5, size=n)


def hastie(n=2000):
    X, y = make_hastie_10_2(n, random_state=9)
    return X, (y > 0).astype(int)


MADE = {
    "informative": partial(make_classification, 2000, 20, n_informative=15, random_state=1),
    "few of many columns": partial(make_classification, 600, 100, n_informative=5, random_state=2),
    "noisy labels": partial(make_classification, 1500, 20, n_informative=8, flip_y=0.4, random_state=3),
    "five classes": partial(make_classification, 2500, 30, n_informative=12, n_classes=5, flip_y=0.1, random_state=4),
    "rare class": partial(
        make_classification, 2000, 20, n_informative=6, weights=[0.93], class_sep=0.7, random_state=5
    ),
    "moons": partial(make_moons, 1000, noise=0.3, random_state=6),
    "quantiles": partial(make_gaussian_quantiles, n_samples=1500, n_features=6, n_classes=3, random_state=6),
    "hastie": hastie,
    "shop": shop,
}
NUMBERS = {
    "friedman 1": partial(make_friedman1, 1000, noise=1.0, random_state=1),
    "friedman 2": partial(make_friedman2, 1000, noise=100.0, random_state=2),
    "linear": partial(make_regression, 500, 60, n_informative=15, noise=50.0, random_state=3),
    "steps": steps,
}


def data_sets():
    """All that are here; subsets of Otto and MNIST where $STACKKIT_DATA has them."""
    bundled = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
    found = [DataSet(name, "classification", *load(return_X_y=True)) for name, load in bundled.items()]
    X, y = load_titanic(return_X_y=True)
    found.append(DataSet("titanic", "classification", X, y.to_numpy()))
    found += [DataSet(f"made: {name}", "classification", *make()) for name, make in MADE.items()]
    for name, data in (("otto", load_otto()), ("mnist", load_mnist())):
        found += [DataSet(f"{name} {size}", "classification", *data, size) for size in (500, 2000)] if data else []
    found.append(DataSet("diabetes", "regression", *load_diabetes(return_X_y=True)))
    found += [DataSet(f"made: {name}", "regression", *make()) for name, make in NUMBERS.items()]
    return found
