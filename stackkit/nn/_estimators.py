"""BN-MLPs and BN-CNNs as scikit-learn estimators."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from stackkit.nn._kinds import ImageNet, TableNet
from stackkit.nn._learner import NetClassifier, NetRegressor


def _packs(learner: Any) -> bool:
    # Networks of the user's own cannot be packed: their folds are tasks of their own, spread over workers.
    return learner.module is None


class BNMLPClassifier(TableNet, NetClassifier):
    """Batch-Normalised multi-layer perceptron for classes, a good member of a stack.

    Dense layers, each as activation(BN(W u)) [1]_. Small tables get several short trainings and the mean of
    their predictions. Inside `stackkit.cross_fit` and `stackkit.StackingModel` the networks of all folds are
    trained together as one packed network, several times faster than one after another and with the same
    results up to rounding.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    input_batch_norm : bool, default=False
        Normalize the input too, batch by batch. Helps where the features are not scaled beforehand.

    dropout : float, default=0.0
        Share of the hidden activations set to zero in training; below 1.

    n_members : int or "auto", default="auto"
        Independent networks whose predictions are averaged; trained packed together, they cost little more than
        one. "auto" is 5 up to 10,000 training rows, where several short trainings beat a long one, and 1 above
        or with ``snapshots``.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10, and more
        where there are so few rows that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Rows a step, at least 2. The rows of an epoch are split evenly, so that a batch may have a few more or
        less, and never one. "auto" grows with the rows, in powers of two: 32 up to 2,900 rows, then about a
        64th, 512 at most.

    lr : float, default=0.002
        Learning rate, before its schedule.

    schedule : {"constant", "one-cycle", "cosine"}, default="cosine"
        TrainingRun of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``.

    optimizer : {"adam", "sgd"} or subclass of torch.optim.Optimizer, default="adam"
        Adam (with decoupled weight decay), or gradient descent with Nesterov's momentum of 0.9. Networks of
        your own class of optimizer are trained one by one.

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(n_features,
        n_outputs)``, where the outputs are logits or values. The parameters that shape the built-in network are
        then without effect. Networks of one's own are not packed.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. Seeded results are the same bit for bit
        for the same number of threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen in ``fit``.

    net_ : skorch.NeuralNetClassifier
        The fitted net; its ``module_`` takes X as float32 tensors and averages its ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit``.

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
        activation: Any = "relu",
        batch_norm: bool = True,
        input_batch_norm: bool = False,
        dropout: float = 0.0,
        n_members: Any = "auto",
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = 0.002,
        schedule: Any = "cosine",
        optimizer: Any = "adam",
        weight_decay: float = 0.0,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_norm = batch_norm
        self.input_batch_norm = input_batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
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


class BNMLPRegressor(TableNet, NetRegressor):
    """Batch-Normalised multi-layer perceptron for one or several quantities.

    As `BNMLPClassifier`, on squared errors; the targets are standardised inside.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    input_batch_norm : bool, default=False
        Normalize the input too, batch by batch. Helps where the features are not scaled beforehand.

    dropout : float, default=0.0
        Share of the hidden activations set to zero in training; below 1.

    n_members : int or "auto", default="auto"
        Independent networks whose predictions are averaged; trained packed together, they cost little more than
        one. "auto" is 5 up to 10,000 training rows, where several short trainings beat a long one, and 1 above
        or with ``snapshots``.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10, and more
        where there are so few rows that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Rows a step, at least 2. The rows of an epoch are split evenly, so that a batch may have a few more or
        less, and never one. "auto" grows with the rows, in powers of two: 32 up to 2,900 rows, then about a
        64th, 512 at most.

    lr : float, default=0.002
        Learning rate, before its schedule.

    schedule : {"constant", "one-cycle", "cosine"}, default="cosine"
        TrainingRun of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``.

    optimizer : {"adam", "sgd"} or subclass of torch.optim.Optimizer, default="adam"
        Adam (with decoupled weight decay), or gradient descent with Nesterov's momentum of 0.9. Networks of
        your own class of optimizer are trained one by one.

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(n_features,
        n_outputs)``, where the outputs are logits or values. The parameters that shape the built-in network are
        then without effect. Networks of one's own are not packed.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. Seeded results are the same bit for bit
        for the same number of threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The fitted net; its ``module_`` takes X as float32 tensors and averages its ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit``.

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
        activation: Any = "relu",
        batch_norm: bool = True,
        input_batch_norm: bool = False,
        dropout: float = 0.0,
        n_members: Any = "auto",
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = 0.002,
        schedule: Any = "cosine",
        optimizer: Any = "adam",
        weight_decay: float = 0.0,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_norm = batch_norm
        self.input_batch_norm = input_batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
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


class BNCNNClassifier(ImageNet, NetClassifier):
    """Batch-Normalised convolutional network for images.

    Convolutions and dense layers, each as activation(BN(W u)) [1]_. Pixels are standardised inside, by the
    training images. Images come as (n_samples, height, width), as (n_samples, channels, height, width), or
    flat, so that other learners of a stack can take the same X.

    Parameters
    ----------
    preset : {"fast", "reference"} or None, default="fast"
        "reference" is the classic network for MNIST: two convolutions of 3 x 3 with 32 maps, pooling, 128 dense
        units; trained with Adam at a constant rate, in batches of 32. "fast" has three convolutions, of which
        the first has a stride of 2, and is trained with Muon in one cycle. None: your own ``blocks``.

    blocks : list of ConvBlock, default=None
        The convolutions, with ``preset=None``.

    hidden_layer_sizes : sequence of int, default="auto"
        Units of each dense layer behind the convolutions; "auto" is the preset's, and none for blocks of your
        own.

    image_shape : tuple, default=None
        (height, width) or (channels, height, width), for flat rows. None: rows whose length is a square number
        are square images of one channel, others one line of pixels.

    augment : {"shift", "affine", "elastic"}, Augmentation or None, default=None
        Distort the training images at random each time: shifts of up to 2 pixels; with turns of up to 10
        degrees and scalings of up to a tenth; with elastic displacements on top.

    test_shifts : bool, default=False
        Average predictions over each image and its four neighbours, one pixel up, down, left and right.

    precision : {"auto", "bfloat16", "float32"}, default="auto"
        Precision of products in training. "auto" is bfloat16 where the processor has it and ``dtype`` is
        "float32", if a trial batch comes out nearly the same. Predictions are made in ``dtype``.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    dropout : float, default=0.0
        Share of the activations of the dense part set to zero in training; below 1.

    n_members : int or "auto", default=1
        Independent networks whose predictions are averaged; "auto" is 1.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10 for
        "reference", else 5, and more where there are so few images that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Images a step, at least 2. The images of an epoch are split evenly, so that a batch may have a few more
        or less, and never one. "auto" is 32 for "reference", else grows with the images, in powers of two, from
        16 to 128.

    lr : float or "auto", default="auto"
        Learning rate, before its schedule; "auto" is 0.001 for "reference", else 0.01.

    schedule : {"constant", "one-cycle", "cosine"} or "auto", default="auto"
        TrainingRun of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``. "auto" is "constant" for "reference", else "one-cycle".

    optimizer : {"adam", "sgd", "muon"} or subclass of torch.optim.Optimizer, or "auto", default="auto"
        Adam (with decoupled weight decay), gradient descent with Nesterov's momentum of 0.9, or Muon [5]_ for
        the inner layers' weights with Adam for the rest. "auto" is "adam" for "reference", else "muon".

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(image_shape,
        n_outputs)``, with (channels, height, width) of standardised images, and logits or values as outputs.
        The parameters that shape the built-in network are then without effect.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. A CNN trained alone on a machine of
        several cores wants more than one. Seeded results are the same bit for bit for the same number of
        threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen in ``fit``.

    net_ : skorch.NeuralNetClassifier
        The fitted net; its ``module_`` takes X as float32 tensors (n, channels, height, width) and averages its
        ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit`` (of its second axis).

    image_shape_ : tuple (channels, height, width)
        Of the images seen in ``fit``.

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


class BNCNNRegressor(ImageNet, NetRegressor):
    """Batch-Normalised convolutional network for quantities that images show.

    As `BNCNNClassifier`, on squared errors; the targets are standardised inside.

    Parameters
    ----------
    preset : {"fast", "reference"} or None, default="fast"
        "reference" is the classic network for MNIST: two convolutions of 3 x 3 with 32 maps, pooling, 128 dense
        units; trained with Adam at a constant rate, in batches of 32. "fast" has three convolutions, of which
        the first has a stride of 2, and is trained with Muon in one cycle. None: your own ``blocks``.

    blocks : list of ConvBlock, default=None
        The convolutions, with ``preset=None``.

    hidden_layer_sizes : sequence of int, default="auto"
        Units of each dense layer behind the convolutions; "auto" is the preset's, and none for blocks of your
        own.

    image_shape : tuple, default=None
        (height, width) or (channels, height, width), for flat rows. None: rows whose length is a square number
        are square images of one channel, others one line of pixels.

    augment : {"shift", "affine", "elastic"}, Augmentation or None, default=None
        Distort the training images at random each time: shifts of up to 2 pixels; with turns of up to 10
        degrees and scalings of up to a tenth; with elastic displacements on top.

    test_shifts : bool, default=False
        Average predictions over each image and its four neighbours, one pixel up, down, left and right.

    precision : {"auto", "bfloat16", "float32"}, default="auto"
        Precision of products in training. "auto" is bfloat16 where the processor has it and ``dtype`` is
        "float32", if a trial batch comes out nearly the same. Predictions are made in ``dtype``.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    dropout : float, default=0.0
        Share of the activations of the dense part set to zero in training; below 1.

    n_members : int or "auto", default=1
        Independent networks whose predictions are averaged; "auto" is 1.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10 for
        "reference", else 5, and more where there are so few images that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Images a step, at least 2. The images of an epoch are split evenly, so that a batch may have a few more
        or less, and never one. "auto" is 32 for "reference", else grows with the images, in powers of two, from
        16 to 128.

    lr : float or "auto", default="auto"
        Learning rate, before its schedule; "auto" is 0.001 for "reference", else 0.01.

    schedule : {"constant", "one-cycle", "cosine"} or "auto", default="auto"
        TrainingRun of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``. "auto" is "constant" for "reference", else "one-cycle".

    optimizer : {"adam", "sgd", "muon"} or subclass of torch.optim.Optimizer, or "auto", default="auto"
        Adam (with decoupled weight decay), gradient descent with Nesterov's momentum of 0.9, or Muon [5]_ for
        the inner layers' weights with Adam for the rest. "auto" is "adam" for "reference", else "muon".

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(image_shape,
        n_outputs)``, with (channels, height, width) of standardised images, and logits or values as outputs.
        The parameters that shape the built-in network are then without effect.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. A CNN trained alone on a machine of
        several cores wants more than one. Seeded results are the same bit for bit for the same number of
        threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The fitted net; its ``module_`` takes X as float32 tensors (n, channels, height, width) and averages its
        ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit`` (of its second axis).

    image_shape_ : tuple (channels, height, width)
        Of the images seen in ``fit``.

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
