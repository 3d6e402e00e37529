"""Made data sets for classification, small enough that many stacks can be fitted to them."""

from functools import partial

from sklearn.datasets import make_classification

MADE = {
    "informative": partial(make_classification, 2000, 20, n_informative=15, random_state=1),
    "few of many columns": partial(make_classification, 600, 100, n_informative=5, random_state=2),
    "noisy labels": partial(make_classification, 1500, 20, n_informative=8, flip_y=0.4, random_state=3),
    "five classes": partial(make_classification, 2500, 30, n_informative=12, n_classes=5, flip_y=0.1, random_state=4),
    "rare class": partial(
        make_classification, 2000, 20, n_informative=6, weights=[0.93], class_sep=0.7, random_state=5
    ),
}
