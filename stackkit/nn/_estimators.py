"""BN-MLPs and BN-CNNs as scikit-learn estimators."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from stackkit.nn._docs import ALL, CLASSIFIER, CNN, MLP, documented
from stackkit.nn._kinds import ImageNet, TableNet
from stackkit.nn._learner import NetClassifier, NetRegressor


def _packs(learner: Any) -> bool:
    # Networks of the user's own cannot be packed: their folds are tasks of their own, spread over workers.
    return learner.module is None


@documented(ALL, MLP, CLASSIFIER)
class BNMLPClassifier(TableNet, NetClassifier):
    """Batch-Normalised multi-layer perceptron for classes, a good member of a stack.

    Dense layers, each as activation(BN(W u)) [1]_. Small tables get several short trainings and the mean of
    their predictions. Inside `stackkit.cross_fit` and `stackkit.StackingModel` the networks of all folds are
    trained together as one packed network, several times faster than one after another and with the same
    results up to rounding.

    Parameters
    ----------
    {hidden_layer_sizes} {scaling} {num_embedding} {n_bins} {missing} {categorical_features} {activation} {batch_norm}
    {input_batch_norm} {front_scale} {precision} {dropout} {n_members} {snapshots} {max_epochs} {batch_size} {lr}
    {schedule} {optimizer} {beta_2} {weight_decay} {regularization_schedule} {clip_norm} {early_stopping}
    {validation_fraction} {n_iter_no_change} {tol} {batch_stats} {class_weight} {warm_start} {module} {device} {dtype}
    {n_threads} {random_state} {callbacks} {verbose}

    Attributes
    ----------
    {classes_}

    net_ : skorch.NeuralNetClassifier
        The fitted net; its ``module_`` takes X as float32 tensors and averages its ``members``.

    {history_} {loss_curve_} {n_features_in_} {categories_in_}

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (infinity is refused, and NaN unless ``missing``
        allows it), or if training diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.
    .. [5] Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
           NeurIPS 2022.
    .. [6] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees
           on Tabular Data", NeurIPS 2024.
    .. [7] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
           https://kellerjordan.github.io/posts/muon/
    .. [8] C. Guo and F. Berkhahn, "Entity Embeddings of Categorical Variables", arXiv:1604.06737, 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from stackkit.nn import BNMLPClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), BNMLPClassifier(random_state=0)).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.9
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        *,
        scaling: Any = "robust-clip",
        num_embedding: Any = "ple",
        n_bins: Any = "auto",
        missing: Any = "error",
        categorical_features: Any = None,
        activation: Any = "relu",
        batch_norm: bool = True,
        input_batch_norm: bool = False,
        front_scale: bool = True,
        precision: Any = "auto",
        dropout: float = 0.15,
        n_members: Any = "auto",
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = 0.003,
        schedule: Any = "cosine",
        optimizer: Any = "adam",
        beta_2: Any = 0.95,
        weight_decay: float = 0.0,
        regularization_schedule: Any = "constant",
        clip_norm: Any = None,
        early_stopping: Any = "auto",
        validation_fraction: Any = 0.2,
        n_iter_no_change: Any = "auto",
        tol: float = 1e-4,
        batch_stats: Any = "population",
        class_weight: Any = None,
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.scaling = scaling
        self.num_embedding = num_embedding
        self.n_bins = n_bins
        self.missing = missing
        self.categorical_features = categorical_features
        self.activation = activation
        self.batch_norm = batch_norm
        self.input_batch_norm = input_batch_norm
        self.front_scale = front_scale
        self.precision = precision
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.beta_2 = beta_2
        self.weight_decay = weight_decay
        self.regularization_schedule = regularization_schedule
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose

    @available_if(_packs)
    def fit_folds(
        self,
        X: Any,
        y: Any,
        folds: Sequence[np.ndarray],
        sample_weight: Any = None,
        groups: Any = None,
        n_features: Sequence[int] | None = None,
    ) -> list[Any]:
        """Train one estimator on each fold's rows, all at once: what the stack calls.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            All rows.
        y : array-like of shape (n_samples,)
            All targets.
        folds : sequence of ndarray of int
            The rows to learn from, a fold each; they may overlap and be of any lengths.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in ``fit``.
        n_features : sequence of int, default=None
            Columns that each fold has, where preprocessing gave them different ones: the first so many of X, which
            holds zeros in the others. None: all have all.

        Returns
        -------
        fitted : list of BNMLPClassifier
            The k-th is what ``clone(self).set_params(random_state=s).fit(X[folds[k]], y[folds[k]])`` gives, up to
            rounding, with the seed ``s`` that it has as its ``random_state``.
        """
        return self._fit_folds(X, y, folds, sample_weight, groups, n_features)


@documented(ALL, MLP)
class BNMLPRegressor(TableNet, NetRegressor):
    """Batch-Normalised multi-layer perceptron for one or several quantities.

    As `BNMLPClassifier`, on squared errors; the targets are standardised inside.

    Parameters
    ----------
    {hidden_layer_sizes} {scaling} {num_embedding} {n_bins} {missing} {categorical_features} {activation} {batch_norm}
    {input_batch_norm} {front_scale} {precision} {dropout} {n_members} {snapshots} {max_epochs} {batch_size} {lr}
    {schedule} {optimizer} {beta_2} {weight_decay} {regularization_schedule} {clip_norm} {early_stopping}
    {validation_fraction} {n_iter_no_change} {tol} {batch_stats} {warm_start} {module} {device} {dtype}
    {n_threads} {random_state} {callbacks} {verbose}

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The fitted net; its ``module_`` takes X as float32 tensors and averages its ``members``.

    {history_} {loss_curve_} {n_features_in_} {categories_in_}

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (infinity is refused, and NaN unless ``missing``
        allows it), or if training diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.
    .. [5] Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
           NeurIPS 2022.
    .. [6] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees
           on Tabular Data", NeurIPS 2024.
    .. [7] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
           https://kellerjordan.github.io/posts/muon/
    .. [8] C. Guo and F. Berkhahn, "Entity Embeddings of Categorical Variables", arXiv:1604.06737, 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from stackkit.nn import BNMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = BNMLPRegressor(input_batch_norm=True, random_state=0).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.35
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        *,
        scaling: Any = "robust-clip",
        num_embedding: Any = "ple",
        n_bins: Any = "auto",
        missing: Any = "error",
        categorical_features: Any = None,
        activation: Any = "relu",
        batch_norm: bool = True,
        input_batch_norm: bool = False,
        front_scale: bool = True,
        precision: Any = "auto",
        dropout: float = 0.15,
        n_members: Any = "auto",
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = 0.003,
        schedule: Any = "cosine",
        optimizer: Any = "adam",
        beta_2: Any = 0.95,
        weight_decay: float = 0.0,
        regularization_schedule: Any = "constant",
        clip_norm: Any = None,
        early_stopping: Any = "auto",
        validation_fraction: Any = 0.2,
        n_iter_no_change: Any = "auto",
        tol: float = 1e-4,
        batch_stats: Any = "population",
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.scaling = scaling
        self.num_embedding = num_embedding
        self.n_bins = n_bins
        self.missing = missing
        self.categorical_features = categorical_features
        self.activation = activation
        self.batch_norm = batch_norm
        self.input_batch_norm = input_batch_norm
        self.front_scale = front_scale
        self.precision = precision
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.beta_2 = beta_2
        self.weight_decay = weight_decay
        self.regularization_schedule = regularization_schedule
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose

    @available_if(_packs)
    def fit_folds(
        self,
        X: Any,
        y: Any,
        folds: Sequence[np.ndarray],
        sample_weight: Any = None,
        groups: Any = None,
        n_features: Sequence[int] | None = None,
    ) -> list[Any]:
        """Train one estimator on each fold's rows, all at once: what the stack calls.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            All rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            All targets.
        folds : sequence of ndarray of int
            The rows to learn from, a fold each; they may overlap and be of any lengths.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in ``fit``.
        n_features : sequence of int, default=None
            Columns that each fold has, where preprocessing gave them different ones: the first so many of X, which
            holds zeros in the others. None: all have all.

        Returns
        -------
        fitted : list of BNMLPRegressor
            The k-th is what ``clone(self).set_params(random_state=s).fit(X[folds[k]], y[folds[k]])`` gives, up to
            rounding, with the seed ``s`` that it has as its ``random_state``.
        """
        return self._fit_folds(X, y, folds, sample_weight, groups, n_features)


@documented(ALL, CNN, CLASSIFIER)
class BNCNNClassifier(ImageNet, NetClassifier):
    """Batch-Normalised convolutional network for images.

    Convolutions and dense layers, each as activation(BN(W u)) [1]_. Pixels are standardised inside, by the
    training images. Images come as (n_samples, height, width), as (n_samples, channels, height, width), or
    flat, so that other learners of a stack can take the same X.

    Parameters
    ----------
    {preset} {blocks} {hidden_layer_sizes} {image_shape} {augment} {cutout} {test_shifts} {precision} {activation}
    {batch_norm} {dropout} {n_members} {snapshots} {max_epochs} {batch_size} {lr} {schedule} {optimizer}
    {weight_decay} {clip_norm} {ema_decay} {early_stopping} {validation_fraction} {n_iter_no_change} {tol} {batch_stats}
    {class_weight} {warm_start} {module} {device} {dtype} {n_threads} {random_state} {callbacks} {verbose}

    Attributes
    ----------
    {classes_}

    net_ : skorch.NeuralNetClassifier
        The fitted net; its ``module_`` takes X as float32 tensors (n, channels, height, width) and averages its
        ``members``.

    {history_} {loss_curve_} {n_features_in_} {image_shape_}

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (NaN and infinity are refused), or if training
        diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.
    .. [5] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
           https://kellerjordan.github.io/posts/muon/
    .. [6] T. DeVries and G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
           arXiv:1708.04552, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from stackkit.nn import BNCNNClassifier
    >>> X, y = load_digits(return_X_y=True)  # flat images of 8 x 8 pixels
    >>> model = BNCNNClassifier(random_state=0).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.95
    True
    """

    def __init__(
        self,
        preset: Any = "fast",
        *,
        blocks: Any = None,
        hidden_layer_sizes: Any = "auto",
        image_shape: Any = None,
        augment: Any = None,
        cutout: Any = None,
        test_shifts: bool = False,
        precision: Any = "auto",
        activation: Any = "relu",
        batch_norm: bool = True,
        dropout: float = 0.0,
        n_members: Any = 1,
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = "auto",
        schedule: Any = "auto",
        optimizer: Any = "auto",
        weight_decay: float = 0.0,
        clip_norm: Any = None,
        ema_decay: Any = None,
        early_stopping: bool = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: float = 1e-4,
        batch_stats: Any = "population",
        class_weight: Any = None,
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.preset = preset
        self.blocks = blocks
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augment = augment
        self.cutout = cutout
        self.test_shifts = test_shifts
        self.precision = precision
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose


@documented(ALL, CNN)
class BNCNNRegressor(ImageNet, NetRegressor):
    """Batch-Normalised convolutional network for quantities that images show.

    As `BNCNNClassifier`, on squared errors; the targets are standardised inside.

    Parameters
    ----------
    {preset} {blocks} {hidden_layer_sizes} {image_shape} {augment} {cutout} {test_shifts} {precision} {activation}
    {batch_norm} {dropout} {n_members} {snapshots} {max_epochs} {batch_size} {lr} {schedule} {optimizer}
    {weight_decay} {clip_norm} {ema_decay} {early_stopping} {validation_fraction} {n_iter_no_change} {tol} {batch_stats}
    {warm_start} {module} {device} {dtype} {n_threads} {random_state} {callbacks} {verbose}

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The fitted net; its ``module_`` takes X as float32 tensors (n, channels, height, width) and averages its
        ``members``.

    {history_} {loss_curve_} {n_features_in_} {image_shape_}

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (NaN and infinity are refused), or if training
        diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.
    .. [5] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
           https://kellerjordan.github.io/posts/muon/
    .. [6] T. DeVries and G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
           arXiv:1708.04552, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from stackkit.nn import BNCNNRegressor
    >>> images = np.random.default_rng(0).random((300, 6, 6))
    >>> brightness = images[:, 2:4, 2:4].mean(axis=(1, 2))
    >>> model = BNCNNRegressor(random_state=0).fit(images[:200], brightness[:200])
    >>> model.score(images[200:], brightness[200:]) > 0.5
    True
    """

    def __init__(
        self,
        preset: Any = "fast",
        *,
        blocks: Any = None,
        hidden_layer_sizes: Any = "auto",
        image_shape: Any = None,
        augment: Any = None,
        cutout: Any = None,
        test_shifts: bool = False,
        precision: Any = "auto",
        activation: Any = "relu",
        batch_norm: bool = True,
        dropout: float = 0.0,
        n_members: Any = 1,
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = "auto",
        schedule: Any = "auto",
        optimizer: Any = "auto",
        weight_decay: float = 0.0,
        clip_norm: Any = None,
        ema_decay: Any = None,
        early_stopping: bool = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: float = 1e-4,
        batch_stats: Any = "population",
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.preset = preset
        self.blocks = blocks
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augment = augment
        self.cutout = cutout
        self.test_shifts = test_shifts
        self.precision = precision
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose
