"""Three levels, as they won Kaggle's Otto challenge
=================================================

61,878 products of nine classes, each described by 93 counts that nobody explained. The stack that won in 2015 had
some 33 learners, three models on top of their predictions (XGBoost, a neural network, AdaBoost), and a weighted mean
of those. Here is its like, on one ordinary machine::

    first level    nearest neighbours of several kinds, forests, boosting, linear models, naive Bayes, networks, each
                   on its own view of the counts; some see how far a product is from its neighbours in each class
    second level   XGBoost, on all predictions and on the counts; a network, and AdaBoost over extra trees, on the
                   predictions
    third level    a weighted mean

A model with a stack for its final estimator has one level more. The hold-out, a fifth of the products, fixed
by its seed, is asked once, at the end: settings were chosen on some of the others.

What came of it, with four folds, on two cores that had other work besides: 45 minutes to fit, 2 to predict the
hold-out, 4.2 GB of memory; log-loss on the hold-out

    first level    0.425 the best of 26, a network that sees distances; 0.458 the best without them, XGBoost
    second level   0.408 XGBoost, 0.414 the network, 0.552 AdaBoost over extra trees
    third level    0.4075, with weights of 0.71, 0.29 and 0

The second level is better than the first by 0.017 (standard error 0.002). The mean is not: its 0.0004 over XGBoost
alone (standard error 0.0004) may be chance.

Run it (offline; with Otto's train.csv or train.csv.gz in otto/ of the folder that STACKKIT_DATA names, or of data/)::

    python examples/09_otto.py --quick       # 6,000 products, about a minute on two cores
    python examples/09_otto.py               # all of them; killed and started again, it goes on where it was

Without Otto it takes the 1,797 small digits that come with scikit-learn, whose pixels are counts, too.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Self

import numpy as np
import pandas as pd
import psutil
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from xgboost import XGBClassifier

from stackkit import ConvexClassifier, StackingClassifier, store_info
from stackkit.datasets import load_otto
from stackkit.nn import BNMLPClassifier

# %%
# 1. The products
# ---------------


@dataclass
class Products:
    """Counts and classes to learn from, and the hold-out, which nothing here is chosen by."""

    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    y_new: np.ndarray


def load(quick: bool) -> Products:
    """Otto, or a stratified part of it; where it is missing, scikit-learn's own small digits."""
    try:
        data, target = load_otto(return_X_y=True)
        X, y = data.to_numpy(np.float32), target.to_numpy(object)
    except FileNotFoundError as error:
        print(f"{error}\n\nSo these are scikit-learn's small digits of 8 x 8 pixels, an easier task.\n")
        X, y = load_digits(return_X_y=True)
        X = X.astype(np.float32)
    X, X_new, y, y_new = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    if quick and len(y) > 4800:
        X, _, y, _ = train_test_split(X, y, train_size=4800, stratify=y, random_state=0)
        X_new, _, y_new, _ = train_test_split(X_new, y_new, train_size=1200, stratify=y_new, random_state=0)
    return Products(X, y, X_new, y_new)


# %%
# 2. Views of the counts
# ----------------------


def of_rows(X: np.ndarray) -> np.ndarray:
    """What a row says as a whole: its sum, how many counts are not zero, the largest, their variance."""
    return np.column_stack([X.sum(axis=1), (X > 0).sum(axis=1), X.max(axis=1), X.var(axis=1)])


def dense(X: object) -> np.ndarray:
    return X.toarray()


class ClassDistances(TransformerMixin, BaseEstimator):
    """How far a row is from its nearest neighbours in each class: means over the first 1, 2, 4 of them.

    They need the classes, so each fold fits its own. A row that they were fitted on is its own nearest neighbour, at
    no distance, which would give its class away: `fit_transform` leaves it out.
    """

    def __init__(self, n_neighbors: tuple[int, ...] = (1, 2, 4)) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: np.ndarray) -> ClassDistances:
        self.classes_ = np.unique(y)
        self.searches_ = [NearestNeighbors(algorithm="brute").fit(X[y == label]) for label in self.classes_]
        return self

    def fit_transform(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        self.fit(X, y)
        return self._means(X, [np.where(y == label, 1, 0) for label in self.classes_])

    def transform(self, X: np.ndarray) -> np.ndarray:
        return self._means(X, [np.zeros(len(X), dtype=int)] * len(self.classes_))

    def _means(self, X: np.ndarray, first: list[np.ndarray]) -> np.ndarray:
        most, columns = max(self.n_neighbors), []
        for search, skipped in zip(self.searches_, first, strict=True):
            nearest = search.kneighbors(X, min(most + 1, search.n_samples_fit_), return_distance=True)[0]
            places = np.minimum(skipped[:, np.newaxis] + np.arange(most), nearest.shape[1] - 1)
            distances = np.take_along_axis(nearest, places, axis=1)
            columns += [distances[:, :number].mean(axis=1) for number in self.n_neighbors]
        return np.column_stack(columns)


def log() -> Pipeline:
    return make_pipeline(make_union("passthrough", FunctionTransformer(of_rows)), FunctionTransformer(np.log1p))


def tfidf() -> Pipeline:
    return make_pipeline(TfidfTransformer(), FunctionTransformer(dense, accept_sparse=True))


def distances(view: BaseEstimator) -> Pipeline:
    return make_pipeline(view, ClassDistances())


# %%
# 3. The stack
# ------------


# How long each network learns was chosen beforehand, and the views of the counts are on one scale.
PLAIN = {
    "scaling": None,
    "num_embedding": None,
    "front_scale": False,
    "early_stopping": False,
    "lr": 0.002,
    "beta_2": 0.999,
}


def knn(n_neighbors: int) -> KNeighborsClassifier:
    return KNeighborsClassifier(n_neighbors, algorithm="brute")


def xgb(rounds: int, depth: int, rate: float, **settings: object) -> XGBClassifier:
    tree = {"max_depth": depth, "min_child_weight": 4, "max_bin": 64}
    return XGBClassifier(n_estimators=rounds, learning_rate=rate, subsample=0.9, **tree, **settings)


def first_level(quick: bool) -> list[tuple[str, BaseEstimator]]:
    """The learners, each with its view of the counts; "far" are those that see distances."""
    trees, rounds, epochs = (20, 30, 8) if quick else (60, 150, 15)
    rows, root = FunctionTransformer(of_rows), FunctionTransformer(np.sqrt)
    with_distances = make_union("passthrough", rows, distances(root))

    def mlp(view: BaseEstimator, *units: int, dropout: float) -> Pipeline:
        net = BNMLPClassifier(units, dropout=dropout, max_epochs=epochs, batch_size=256, n_members=1, **PLAIN)
        return make_pipeline(view, StandardScaler(), net)

    forest = {"n_estimators": trees, "min_samples_leaf": 2, "max_leaf_nodes": 3000}
    return [
        ("knn_4_log", make_pipeline(log(), knn(4))),
        ("knn_16_root", make_pipeline(root, knn(16))),
        ("knn_16_shares", make_pipeline(Normalizer("l1"), root, knn(16))),
        ("knn_64_tfidf", make_pipeline(tfidf(), knn(64))),
        ("knn_256_scaled", make_pipeline(log(), StandardScaler(), knn(256))),
        ("forest", RandomForestClassifier(max_features=0.2, **forest)),
        ("forest_tfidf", make_pipeline(tfidf(), RandomForestClassifier(max_features=0.2, **forest))),
        ("extra_trees", ExtraTreesClassifier(max_features=0.4, **forest)),
        ("xgb_shallow", xgb(rounds, 5, 0.2, colsample_bytree=0.5)),
        ("xgb_deep", make_pipeline(make_union("passthrough", rows), xgb(rounds, 9, 0.12, colsample_bytree=0.4))),
        ("xgb_far", make_pipeline(with_distances, xgb(rounds, 8, 0.12, colsample_bytree=0.3))),
        ("hist_boosting", HistGradientBoostingClassifier(learning_rate=0.15, max_iter=rounds // 3, max_features=0.4)),
        ("logistic_log", make_pipeline(log(), StandardScaler(), LogisticRegression(C=0.1, max_iter=300))),
        ("logistic_tfidf", make_pipeline(tfidf(), LogisticRegression(C=10, max_iter=300))),
        ("logistic_far", make_pipeline(distances(root), StandardScaler(), LogisticRegression(max_iter=500))),
        ("bayes_counts", make_pipeline(root, MultinomialNB())),
        ("bayes_zeros", BernoulliNB(binarize=0.5)),
        ("bayes_pca", make_pipeline(log(), StandardScaler(), PCA(30, whiten=True), GaussianNB())),
        ("lda", make_pipeline(log(), LinearDiscriminantAnalysis())),
        ("qda", make_pipeline(root, QuadraticDiscriminantAnalysis(reg_param=0.5))),
        ("mlp_wide", mlp(log(), 512, dropout=0.5)),
        ("mlp", mlp(log(), 256, 128, dropout=0.4)),
        ("mlp_deep", mlp(root, 128, 128, 128, dropout=0.2)),
        ("mlp_tfidf", mlp(make_union(log(), tfidf()), 256, 128, dropout=0.5)),
        ("mlp_far", mlp(make_union(log(), distances(root)), 256, 128, dropout=0.3)),
        ("mlp_far_tfidf", mlp(make_union(log(), distances(tfidf())), 256, 128, dropout=0.3)),
    ]


def second_level(quick: bool, n_counts: int) -> list[tuple[str, BaseEstimator]]:
    """Three models of the learners' predictions; XGBoost also sees the counts, and so which learner to believe when."""
    trees, rounds, rate, batch = (10, 60, 0.15, 32) if quick else (20, 180, 0.06, 256)
    both, predictions = (
        FunctionTransformer(view, kw_args={"n_counts": n_counts}) for view in (log_of_both, log_of_predictions)
    )
    net = BNMLPClassifier((256,), dropout=0.5, max_epochs=8, batch_size=batch, n_members=3, **PLAIN)
    forest = ExtraTreesClassifier(trees, max_depth=14, min_samples_leaf=5, max_features=0.2)
    # AdaBoost knows the class, but its probabilities are all alike. A stack of one learner sharpens them.
    sharp = StackingClassifier(
        [("ada", AdaBoostClassifier(forest, n_estimators=4))], cv=StratifiedKFold(3, shuffle=True)
    )
    return [
        ("xgb", make_pipeline(both, xgb(rounds, 4, rate, colsample_bytree=0.1))),
        ("mlp", make_pipeline(predictions, StandardScaler(), net)),
        ("ada_trees", make_pipeline(predictions, sharp)),
    ]


def log_of_predictions(table: np.ndarray, n_counts: int) -> np.ndarray:
    return np.log(np.maximum(table[:, :-n_counts], 1e-4))


def log_of_both(table: np.ndarray, n_counts: int) -> np.ndarray:
    """The counts, too, which come after the predictions, and what they say as a whole."""
    counts = table[:, -n_counts:]
    return np.hstack([log_of_predictions(table, n_counts), np.log1p(counts), np.log1p(of_rows(counts))])


def make_stack(quick: bool, n_counts: int, n_jobs: int, memory: Path | None, seed: int) -> StackingClassifier:
    """The second level goes on with the folds, workers, store and seeds of the first."""
    folds = StratifiedKFold(3 if quick else 4, shuffle=True, random_state=seed)
    above = StackingClassifier(second_level(quick, n_counts), ConvexClassifier())
    run = {"n_jobs": n_jobs, "memory": memory, "random_state": seed, "verbose": True}
    return StackingClassifier(first_level(quick), above, passthrough=True, cv=folds, **run)


# %%
# 4. What came out
# ----------------


TOP = "weighted mean"


def judge(model: StackingClassifier, products: Products) -> tuple[pd.DataFrame, dict[tuple[int, str], np.ndarray]]:
    """Log-loss of each model of each level, out of fold and on the hold-out; and that of each row of the hold-out."""
    second = model.final_estimator_
    p = model.transform(products.X_new)
    p2 = second.transform(p)
    y, y_new = (np.searchsorted(model.classes_, labels) for labels in (products.y, products.y_new))
    weights = pd.Series(second.final_estimator_.weights_, index=list(second.oof_.blocks))
    rows, losses = [], {}
    for level, oof, new in ((1, model.oof_, p), (2, second.oof_, p2)):
        seconds = oof.scores.groupby(level="learner")[["fit_seconds", "predict_seconds"]].sum().sum(axis=1)
        for name, block in oof.blocks.items():
            losses[level, name] = losses_of_rows(y_new, new[:, block.columns])
            out_of_fold = losses_of_rows(y, oof.train[:, block.columns]).mean()
            weight = weights[name] if level == 2 else np.nan
            rows.append((level, name, out_of_fold, losses[level, name].mean(), weight, seconds[name]))
    # The mean learned from the second level's whole table; out of fold it has to learn from four fifths of it.
    mean, folds = clone(second.final_estimator_), StratifiedKFold(5)
    nested = cross_val_predict(mean, second.oof_.train, y, cv=folds, method="predict_proba")
    losses[3, TOP] = losses_of_rows(y_new, second.final_estimator_.predict_proba(p2))
    rows.append((3, TOP, losses_of_rows(y, nested).mean(), losses[3, TOP].mean(), np.nan, np.nan))
    table = pd.DataFrame(rows, columns=["level", "model", "out_of_fold", "hold_out", "weight", "seconds"])
    return table.sort_values(["level", "out_of_fold"], ascending=[True, False], ignore_index=True), losses


def losses_of_rows(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """As in scikit-learn's log_loss, whose mean alone does not tell how sure a difference is."""
    of_truth = probabilities[np.arange(len(y)), y] / probabilities.sum(axis=1)
    return -np.log(np.clip(of_truth, np.finfo(float).eps, 1))


def show(table: pd.DataFrame) -> None:
    print(f"  {'level':<7}{'model':<18}{'out of fold':>12}{'hold-out':>11}{'weight':>9}{'seconds':>10}")
    for row in table.itertuples():
        weight = f"{row.weight:>9.2f}" if row.weight == row.weight else " " * 9
        seconds = f"{row.seconds:>10.0f}" if row.seconds == row.seconds else ""
        print(f"  {row.level:<7}{row.model:<18}{row.out_of_fold:>12.4f}{row.hold_out:>11.4f}{weight}{seconds}".rstrip())


def verdict(table: pd.DataFrame, losses: dict[tuple[int, str], np.ndarray]) -> list[str]:
    """Each level's best model against the best of the level below, as the hold-out has it."""
    best = table.loc[table.groupby("level")["hold_out"].idxmin()].set_index("level")["model"]
    said = []
    for level, below in ((2, 1), (3, 2), (3, 1)):
        upper, lower = losses[level, best[level]], losses[below, best[below]]
        gain, error = (lower - upper).mean(), (lower - upper).std() / np.sqrt(len(upper))
        how = "beats" if gain > 0 else "does NOT beat"
        if abs(gain) < max(2 * error, 5e-5):
            how = "is not to be told from"
        names = [f"level {n} ({best[n]}, {loss.mean():.4f})" for n, loss in ((level, upper), (below, lower))]
        said.append(f"{names[0].capitalize()} {how} {names[1]}: {gain:+.4f}, with a standard error of {error:.4f}.")
    return said


LEVELS = {1: ("first level: learners", "#56B4E9"), 2: ("second level", "#0072B2"), 3: ("third level", "#D55E00")}
CAPTION = "The shorter a bar, the better. How much is gained from one level to the next, and how much by the third?"


def draw(table: pd.DataFrame) -> Figure:
    """The hold-out losses of all models, by level."""
    figure = Figure(figsize=(7.2, 7.6), layout="constrained")
    axes = figure.subplots()
    table = table.sort_values(["level", "hold_out"], ascending=[True, False], ignore_index=True)
    places = np.arange(len(table)) + 1.2 * table["level"]
    most = 3 * table["hold_out"].min()
    for level, (label, colour) in LEVELS.items():
        of_level = table["level"] == level
        axes.barh(places[of_level], table["hold_out"][of_level].clip(upper=most), color=colour, height=0.75)
        axes.text(0.006 * most, places[of_level].max() + 0.6, label, size=8, weight="bold", color="#444444")
    for place, loss in zip(places, table["hold_out"], strict=True):
        axes.text(min(loss, most), place, f" {loss:.3f}{'' if loss <= most else ' (cut off)'}", va="center", size=8)
    known = table["model"].duplicated(keep=False)  # the second level has an "mlp", too
    names = table["model"].where(
        ~known | (table["level"] == 1), table["model"] + " of level " + table["level"].astype(str)
    )
    axes.set_yticks(places, names, size=8)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_xticks([])
    axes.set_xlim(0, 1.15 * most)
    axes.set_title("Log-loss of three levels on the hold-out", loc="left", fontweight="bold")
    return figure


class PeakMemory:
    """The most memory that this process and its children had together; what they share, counted once or not at all."""

    def __enter__(self) -> Self:
        self.peak, self._ended = 0, Event()
        self._watcher = Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watcher.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while not self._ended.wait(0.5):
            now = 0
            for process in (this, *this.children(recursive=True)):
                with suppress(psutil.Error):  # it may have ended
                    memory = process.memory_info()
                    now += memory.rss - getattr(memory, "shared", 0)
            self.peak = max(self.peak, now)


# %%
# 5. From the first to the last
# -----------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train three levels of models on Otto's products.")
    parser.add_argument("--quick", action="store_true", help="6,000 products, 3 folds, small models: about a minute")
    parser.add_argument("--jobs", type=int, default=2, help="workers, -1 for all cores (default: %(default)s)")
    parser.add_argument(
        "--memory",
        type=Path,
        help="folder of the store that a second run goes on from (default: otto_store; with --quick, none)",
    )
    parser.add_argument("--picture", type=Path, default=Path("otto.png"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of folds and models; default: %(default)s")
    options = parser.parse_args()
    if options.memory is None and not options.quick:
        options.memory = Path("otto_store")
    return options


def main() -> None:
    options = arguments()
    products = load(options.quick)
    print(f"{len(products.y):,} products to learn from, {len(products.y_new):,} held out.", flush=True)

    start = perf_counter()
    with PeakMemory() as memory:
        model = make_stack(options.quick, products.X.shape[1], options.jobs, options.memory, options.seed)
        model.fit(products.X, products.y)
        fitted = perf_counter() - start
        table, losses = judge(model, products)
    print(f"\n{len(model.oof_.blocks)} learners, {len(model.oof_.folds)} folds:\n")
    show(table)
    print()
    for line in verdict(table, losses):
        print(f"- {line}")
    seconds = perf_counter() - start
    print(f"\n{fitted / 60:.1f} minutes to fit, {(seconds - fitted) / 60:.1f} to predict the hold-out.")
    print(f"Peak memory of all processes together: {memory.peak / 1e9:.1f} GB.")
    if options.memory is not None:
        print(store_info(options.memory))
    draw(table).savefig(options.picture, dpi=120, metadata={"Description": CAPTION})
    print(f"Picture: {options.picture}")


if __name__ == "__main__":
    main()
