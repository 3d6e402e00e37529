"""What `networks.py` compares: networks, boosting beside them, and stacks with other networks than the preset's.

Those alone are the mean of five fold models, each with the library's own defaults. stackkit's network and boosting have
the same folds; pytabkit makes its own, and takes each fold's test rows to stop by.
"""

import numpy as np
from _table_columns import IS_TEXT, AnyClasses, Categories, DateParts, Medians, Texts
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

N_FOLDS = 5

# The networks of the presets before they encoded columns, stopped by rows of their own, and learned what levels mean.
BEFORE = {
    "categorical_features": None,
    "scaling": None,
    "num_embedding": None,
    "front_scale": False,
    "dropout": 0.0,
    "lr": 0.002,
    "beta_2": 0.999,
    "early_stopping": False,
}
SEATS_BEFORE = {
    "bn_mlp": BEFORE,
    "bn_mlp_wide": BEFORE | {"hidden_layer_sizes": (256, 128), "dropout": 0.3, "n_members": 4, "max_epochs": 20},
}


def folds_of(job):
    return (StratifiedKFold if job.task == "classification" else KFold)(N_FOLDS, shuffle=True, random_state=job.seed)


# --- five fold models ---------------------------------------------------------------------------------


class FoldMean:
    """Fold models as one that predicts their mean; a class that one of them does not know has 0 there."""

    def __init__(self, models, n_classes):
        self.models = models
        self.classes_ = np.arange(n_classes)

    def predict(self, X):
        return np.mean([model.predict(X) for model in self.models], axis=0)

    def predict_proba(self, X):
        total = np.zeros((len(X), len(self.classes_)))
        for model in self.models:
            total[:, np.asarray(model.classes_, dtype=int)] += model.predict_proba(X)
        return total / len(self.models)


def mean_of_folds(make, X, y, job):
    """``make()`` is an unfitted model."""
    pairs = folds_of(job).split(X, y)
    n_classes = y.max() + 1 if job.task == "classification" else 0
    return FoldMean([make().fit(X.iloc[train], y[train]) for train, _ in pairs], n_classes)


def fit_catboost5(X, y, job):
    import catboost  # noqa: PLC0415

    kind = catboost.CatBoostClassifier if job.task == "classification" else catboost.CatBoostRegressor
    general = {"thread_count": job.n_jobs, "random_seed": job.seed, "verbose": 0, "allow_writing_files": False}

    def make():
        return make_pipeline(DateParts(), Texts(), kind(cat_features=IS_TEXT(X), **general))

    return mean_of_folds(make, X, y, job)


def fit_lightgbm5(X, y, job):
    import lightgbm  # noqa: PLC0415

    kind = lightgbm.LGBMClassifier if job.task == "classification" else lightgbm.LGBMRegressor

    def make():
        model = kind(n_jobs=job.n_jobs, random_state=job.seed, verbose=-1)
        return make_pipeline(DateParts(), Categories(), model)

    return mean_of_folds(make, X, y, job)


def fit_xgboost5(X, y, job):
    import xgboost  # noqa: PLC0415

    general = {"n_jobs": job.n_jobs, "random_state": job.seed, "enable_categorical": True}

    def make():
        classes = job.task == "classification"
        model = AnyClasses(xgboost.XGBClassifier(**general)) if classes else xgboost.XGBRegressor(**general)
        return make_pipeline(DateParts(), Categories(), model)

    return mean_of_folds(make, X, y, job)


def fit_pytabkit(X, y, job, name, **settings):
    """A network of pytabkit's, which makes the folds itself; missing numbers are medians, as it refuses them."""
    import pytabkit  # noqa: PLC0415

    classes = job.task == "classification"
    kind = getattr(pytabkit, f"{name}_{'Classifier' if classes else 'Regressor'}")
    stops_by = {"val_metric_name": "cross_entropy"} if classes else {}  # what is measured here; its own are errors
    general = {"device": "cpu", "n_threads": job.n_jobs, "random_state": job.seed}
    model = kind(n_cv=N_FOLDS, n_refit=0, **general, **stops_by, **settings)
    prepare = make_pipeline(DateParts(), Texts(), Medians())
    rows = prepare.fit_transform(X)
    model.fit(rows, y, cat_col_names=IS_TEXT(rows))
    return make_pipeline(prepare, model)


def fit_realmlp(X, y, job, name="RealMLP_TD"):
    """Without label smoothing, with which log-loss is far off."""
    return fit_pytabkit(X, y, job, name, **({"use_ls": False} if job.task == "classification" else {}))


def fit_realmlp_small(X, y, job):
    return fit_realmlp(X, y, job, "RealMLP_TD_S")


def fit_tabm(X, y, job):
    return fit_pytabkit(X, y, job, "TabM_D")


# --- stackkit's networks ------------------------------------------------------------------------------


def fit_bn_mlp(X, y, job, change=lambda learner: learner):
    """The default network behind its preparation. Of the stack only the mean of the network's fold models is asked."""
    from stackkit import StackingModel, default_learners  # noqa: PLC0415

    network = change(dict(default_learners(job.task))["bn_mlp"])
    # All folds are one task on one thread: a second worker would only be started.
    common = {"task": job.task, "cv": folds_of(job), "n_jobs": 1, "random_state": job.seed}
    stack = StackingModel([("bn_mlp", network)], **common)
    return stack.fit(X, y).named_estimators_["bn_mlp"]


def fit_bn_mlp_before(X, y, job):
    return fit_bn_mlp(X, y, job, lambda learner: as_before(learner, BEFORE))


def fit_stackkit_without_nets(X, y, job, preset="balanced"):
    learners = preset_learners(X, y, job, preset)
    return fit_on_preset_folds(X, y, job, preset, [pair for pair in learners if not pair[0].startswith("bn_")])


def fit_stackkit_with_old_nets(X, y, job, preset="balanced"):
    """Each network that the presets had before, where this one has its seat."""
    learners = preset_learners(X, y, job, preset)
    kept = [(name, learner) for name, learner in learners if name in SEATS_BEFORE or not name.startswith("bn_")]
    old = [
        (name, as_before(learner, SEATS_BEFORE[name]) if name in SEATS_BEFORE else learner) for name, learner in kept
    ]
    return fit_on_preset_folds(X, y, job, preset, old)


def as_before(pipeline, parameters):
    from stackkit._learners import scaled_preprocessing  # noqa: PLC0415

    of_learner = {f"learner__{name}": value for name, value in parameters.items()}
    return pipeline.set_params(prepare=scaled_preprocessing(), **of_learner)


def preset_learners(X, y, job, preset):
    from stackkit import default_learners  # noqa: PLC0415

    n_classes = len(np.unique(y)) if job.task == "classification" else 2
    return default_learners(job.task, X, n_classes=n_classes, preset=preset)


def fit_on_preset_folds(X, y, job, preset, learners):
    """The same folds, rows and seeds as with the preset's own learners, so that nothing else differs."""
    from stackkit import StackingModel  # noqa: PLC0415
    from stackkit._data import ShuffledFolds  # noqa: PLC0415

    plan = StackingModel(preset=preset, task=job.task).plan(X, y)
    n_folds, n_rows = int(plan["folds"].iloc[0]), len(X) - plan.attrs["left_out"]
    folds = ShuffledFolds(n_folds, stratified=job.task == "classification", max_rows=n_rows)
    return StackingModel(learners, task=job.task, cv=folds, n_jobs=job.n_jobs, random_state=job.seed).fit(X, y)


# How each one is fitted, and what has to be installed for it besides scikit-learn. That is imported before the clock
# runs: stackkit.nn for torch, which comes with pytabkit, too.
NETWORK_SYSTEMS = {
    "bn_mlp": (fit_bn_mlp, "stackkit.nn"),
    "bn_mlp-before": (fit_bn_mlp_before, "stackkit.nn"),
    "realmlp": (fit_realmlp, "pytabkit"),
    "realmlp-small": (fit_realmlp_small, "pytabkit"),
    "tabm": (fit_tabm, "pytabkit"),
    "catboost5": (fit_catboost5, "catboost"),
    "lightgbm5": (fit_lightgbm5, "lightgbm"),
    "xgboost5": (fit_xgboost5, "xgboost"),
    "stackkit-nonets": (fit_stackkit_without_nets, "stackkit"),
    "stackkit-oldnets": (fit_stackkit_with_old_nets, "stackkit"),
}
