"""A stack on handwritten digits, with networks among the learners
===============================================================

The 70,000 digits of MNIST: 60,000 to learn from, 10,000 to be judged by. On images, convolutional networks are
far ahead of everything else, and two of them differ less from each other than any of them from a forest. What
can a stack still gain? This lesson shows where it comes from::

    unlike learners   Convolutional networks of two shapes, a multi-layer perceptron, nearest neighbours, a random
                      forest, naive Bayes. All get the same flat rows of 784 pixels; a BN-CNN makes images of them.
    distorted images  Each network sees every digit a little shifted, turned, stretched and bent, anew each time.
    five views        A digit to be told is looked at as it is and one pixel up, down, left and right.
    honest columns    What the pool learns from are answers about digits that the answering network has not seen.
    five of each      A new digit is shown to the five fold models of each learner, and their mean goes in.

Run it (offline; with the four files of MNIST in mnist/ of the folder that STACKKIT_DATA names, or of data/)::

    python examples/08_mnist.py --quick        # 3,000 digits, less than a minute on two cores
    python examples/08_mnist.py                # all of them, about half an hour
    python examples/08_mnist.py --memory runs  # the same, and an interrupted run goes on where it was

Without MNIST it takes the 1,797 small digits that come with scikit-learn.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from stackkit import StackingClassifier
from stackkit.datasets import load_mnist
from stackkit.nn import BNCNNClassifier, BNMLPClassifier, ConvBlock

# %%
# 1. The digits
# -------------


@dataclass
class Digits:
    """Flat rows of pixels to learn from, and the test rows, which nothing here is chosen by."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load(quick: bool) -> Digits:
    """MNIST, or a stratified part of it; where it is missing, scikit-learn's own small digits."""
    try:
        mnist = load_mnist(data_home=os.environ.get("STACKKIT_DATA", "data"))  # load_mnist() alone would fetch it
    except FileNotFoundError:
        print("MNIST is not here: these are scikit-learn's small digits of 8 x 8 pixels, an easier task.\n")
        X, y = load_digits(return_X_y=True)
        return Digits(*_cut(X.astype(np.uint8), y, train=1297, test=500))
    X, y = mnist.data.reshape(len(mnist.data), -1), mnist.target
    known = Digits(X[mnist.train], y[mnist.train], X[mnist.test], y[mnist.test])
    if not quick:
        return known
    X, y, _, _ = _cut(known.X, known.y, train=3000, test=10)
    _, _, X_test, y_test = _cut(known.X_test, known.y_test, train=10, test=2000)
    return Digits(X, y, X_test, y_test)


def _cut(X: np.ndarray, y: np.ndarray, train: int, test: int) -> tuple[np.ndarray, ...]:
    parts = train_test_split(X, y, train_size=train, test_size=test, stratify=y, random_state=0)
    return parts[0], parts[2], parts[1], parts[3]


# %%
# 2. The stack
# ------------


# Pixels are on one scale already, and there are digits enough to go through all of them ten times.
PLAIN = {
    "scaling": None,
    "num_embedding": None,
    "front_scale": False,
    "early_stopping": False,
    "lr": 0.002,
    "beta_2": 0.999,
}


def make_stack(quick: bool, n_jobs: int, memory: Path | None, seed: int) -> StackingClassifier:
    """Six learners of five kinds, on the same folds, under stackkit's default pool."""
    # Chosen on the last 10,000 of the 60,000 digits to learn from; the test digits had no say in it.
    # Two networks that are about as good: with a third, smaller one, which erred more, the blend was no better.
    training = {"max_epochs": 2, "batch_size": 64} if quick else {"max_epochs": 8, "test_shifts": True}
    strided = [ConvBlock(32, 5, stride=2), ConvBlock(64), ConvBlock(64, pool="avg"), ConvBlock(96, pool="avg")]
    maxima = [ConvBlock(24, pool="max"), ConvBlock(64), ConvBlock(64, pool="max"), ConvBlock(96, pool="avg")]
    learners = [
        ("cnn_strided", _cnn(strided, **training)),
        ("cnn_maxima", _cnn(maxima, **training)),
        ("bn_mlp", BNMLPClassifier((256, 256), dropout=0.2, n_members=1, **PLAIN)),
        # Distances and densities in 784 dimensions say little; the first 50 principal components hold most.
        ("knn", make_pipeline(PCA(50), KNeighborsClassifier(5, weights="distance"))),
        ("naive_bayes", make_pipeline(PCA(50), GaussianNB())),
        ("random_forest", RandomForestClassifier(100, min_samples_leaf=2)),
    ]
    folds = StratifiedKFold(3 if quick else 5, shuffle=True, random_state=seed)
    return StackingClassifier(learners, cv=folds, n_jobs=n_jobs, memory=memory, random_state=seed)


def _cnn(blocks: list[ConvBlock], **settings: object) -> BNCNNClassifier:
    # Small distortions: a digit stays the same digit if it is moved, turned or bent a little.
    return BNCNNClassifier(None, blocks=blocks, hidden_layer_sizes=(128,), augment="elastic", lr=0.02, **settings)


# %%
# 3. What came out
# ----------------


def scores(model: StackingClassifier, digits: Digits, p: np.ndarray, stack: np.ndarray) -> pd.DataFrame:
    """Log-loss and accuracy of each learner, out of fold and on the test digits; of the mean; of the stack.

    The stack's own score out of fold: its pool, trained on four fifths of the table P, judges the last.
    """
    rows = {}
    for name, block in model.oof_.blocks.items():
        rows[name] = [*_both(digits.y, model.oof_.train[:, block.columns]), *_both(digits.y_test, p[:, block.columns])]
    mean = np.mean([p[:, block.columns] for block in model.oof_.blocks.values()], axis=0)
    rows["mean of all"] = [np.nan, np.nan, *_both(digits.y_test, mean)]
    pool, P = clone(model.final_estimator_), model.oof_.train
    nested = cross_val_predict(pool, P, digits.y, cv=StratifiedKFold(5), method="predict_proba")
    rows["stack"] = [*_both(digits.y, nested), *_both(digits.y_test, stack)]
    return pd.DataFrame(rows, index=["oof_loss", "oof_accuracy", "test_loss", "test_accuracy"]).T


def _both(y: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    return log_loss(y, probabilities, labels=range(10)), accuracy_score(y, probabilities.argmax(axis=1))


def show(table: pd.DataFrame, board: pd.DataFrame) -> None:
    print(f"  {'':<15}{'out of fold':>20}{'test':>20}")
    print(f"  {'':<15}{'loss':>10}{'accuracy':>10}{'loss':>10}{'accuracy':>10}{'weight':>10}{'fit':>10}")
    for name, row in table.iterrows():
        oof = f"{row.oof_loss:>10.4f}{row.oof_accuracy:>10.2%}" if row.oof_loss == row.oof_loss else " " * 20
        extra = f"{board.weight[name]:>10.2f}{board.fit_seconds[name]:>8.0f} s" if name in board.index else ""
        print(f"  {name:<15}{oof}{row.test_loss:>10.4f}{row.test_accuracy:>10.2%}{extra}")


def verdict(table: pd.DataFrame) -> str:
    """Against the learner that is best out of fold: to choose by the test digits would be to look at the answers."""
    best = table["oof_loss"].drop("stack").idxmin()
    gain = table.test_loss[best] - table.test_loss["stack"]
    how = "beat" if gain > 0 else "did NOT beat"
    return (
        f"The stack {how} {best}, the best learner out of fold: test log-loss {table.test_loss['stack']:.4f} against "
        f"{table.test_loss[best]:.4f}, accuracy {table.test_accuracy['stack']:.2%} against "
        f"{table.test_accuracy[best]:.2%}."
    )


# %%
# 4. Two pictures
# ---------------


def draw_confusion(y: np.ndarray, guess: np.ndarray) -> Figure:
    """How often each digit was taken for each other."""
    counts = confusion_matrix(y, guess, labels=range(10))
    wrong = counts - np.diag(counts.diagonal())
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(wrong, cmap="Blues", vmax=max(1, 1.4 * wrong.max()))
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(j, i, count, ha="center", va="center", color="#9A9A9A" if i == j else "black")
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("the stack's guess")
    axes.set_ylabel("digit")
    axes.set_title(f"{wrong.sum()} of {len(y):,} test digits wrong", loc="left", fontweight="bold")
    return figure


def draw_hardest(X: np.ndarray, y: np.ndarray, probabilities: np.ndarray) -> Figure:
    """The test digits to which the stack gave the least probability of being what they are."""
    of_truth = probabilities[np.arange(len(y)), y]
    hardest = np.argsort(of_truth)[:40]
    side = int(np.sqrt(X.shape[1]))
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    for axes, i in zip(figure.subplots(5, 8).flat, hardest, strict=True):
        axes.imshow(X[i].reshape(side, side), cmap="gray_r")
        guess = probabilities[i].argmax()
        colour = "#D55E00" if guess != y[i] else "black"
        title = f"{y[i]}: {of_truth[i]:.0%}"
        if guess != y[i]:
            title += f"   {guess}: {probabilities[i, guess]:.0%}"
        axes.set_title(title, size=8, color=colour)
        axes.axis("off")
    figure.suptitle(
        "The hardest test digits: what they are, and the stack's guess", x=0.01, ha="left", fontweight="bold"
    )
    return figure


# %%
# 5. From the first to the last
# -----------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a stack with convolutional networks on handwritten digits.")
    parser.add_argument("--quick", action="store_true", help="3,000 digits, 3 folds, 2 epochs: under a minute")
    parser.add_argument("--pictures", type=Path, default=Path(), help="folder for the two pictures (default: here)")
    parser.add_argument("--n-jobs", type=int, default=2, help="workers, -1 for all cores (default: %(default)s)")
    parser.add_argument("--memory", type=Path, default=None, help="folder that keeps results, to go on after an end")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.pictures.mkdir(parents=True, exist_ok=True)
    digits = load(options.quick)
    print(f"{len(digits.y):,} digits to learn from, {len(digits.y_test):,} to be judged by.")

    start = perf_counter()
    model = make_stack(options.quick, options.n_jobs, options.memory, options.seed).fit(digits.X, digits.y)
    board = model.leaderboard().drop("stack")
    print(
        f"\n{len(model.oof_.blocks)} learners, {len(model.oof_.folds)} folds, in {perf_counter() - start:.0f} s; "
        f"all workers fitted for {board.fit_seconds.sum():.0f} s.\n"
    )

    start = perf_counter()
    p = model.transform(digits.X_test)
    stack = model.final_estimator_.predict_proba(p)
    seconds = perf_counter() - start
    table = scores(model, digits, p, stack)
    show(table, board)
    print(f"\n  {verdict(table)}\n  Predicting the test digits took {seconds:.0f} s.")

    confusion = draw_confusion(digits.y_test, stack.argmax(axis=1))
    hardest = draw_hardest(digits.X_test, digits.y_test, stack)
    pictures = {
        "mnist_confusion.png": (confusion, "Off the diagonal: which digits the stack takes for which."),
        "mnist_hardest.png": (
            hardest,
            "In orange: digits that the stack gets wrong. Of most, people are not sure either.",
        ),
    }
    for name, (figure, caption) in pictures.items():
        figure.savefig(options.pictures / name, dpi=120, metadata={"Description": caption})
        print(f"  Picture: {options.pictures / name}")


if __name__ == "__main__":
    main()
