"""Batch Normalization, the algorithm itself, in NumPy: to read, to check a fast one against, to compute with.

All comes from one paper, here "the paper": S. Ioffe and C. Szegedy (2015). Batch Normalization: Accelerating Deep
Network Training by Reducing Internal Covariate Shift. International Conference on Machine Learning, 448-456.

A dense layer's values are a table, ``x`` of shape (n_rows, n_features), and each feature is normalized over the rows.
A convolution's values are feature maps, ``x`` of shape (n, channels, height, width): there each position of each map
is a row and each channel a feature, so the ``conv_`` functions rearrange and leave the arithmetic to the dense ones.

Whatever array-likes go in, everything is computed and returned in float64, and nothing that goes in is written to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BatchNormCache",
    "ConvBatchNormCache",
    "RunningStatistics",
    "batch_norm_backward",
    "batch_norm_backward_closed",
    "batch_norm_forward",
    "batch_norm_inference",
    "conv_batch_norm_backward",
    "conv_batch_norm_forward",
    "conv_batch_norm_inference",
    "population_statistics",
]

Floats = NDArray[np.float64]

_TABLE = ("n_rows", "n_features")
_MAPS = ("n", "channels", "height", "width")


# ---------------------------------------------------------------- input


def _floats(name: str, value: ArrayLike) -> Floats:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers; got {value!r}. Convert it first.") from error
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} must hold finite numbers only, as a single other one would spoil its whole feature; "
            f"got {float(array[~np.isfinite(array)][0])!r}. Replace or drop it."
        )
    return array


def _with_axes(name: str, value: ArrayLike, *allowed: tuple[str, ...]) -> Floats:
    array = _floats(name, value)
    if array.ndim not in [len(axes) for axes in allowed]:
        options = " or ".join(f"({', '.join(axes)})" for axes in allowed)
        raise ValueError(
            f"{name} must have the shape {options}; got the shape {array.shape}. Reshape it, or use the function "
            "for that kind of layer: those for feature maps start with conv_."
        )
    return array


def _with_shape(name: str, value: ArrayLike, shape: tuple[int, ...], because: str) -> Floats:
    array = _floats(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, {because}; got the shape {array.shape}. Reshape it.")
    return array


def _per_feature(name: str, value: ArrayLike, n_features: int) -> Floats:
    return _with_shape(name, value, (n_features,), "one value per feature or feature map of x")


def _check_number(name: str, value: Any, highest: float, allowed: str) -> None:
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value <= highest:
        raise ValueError(f"{name} must be {allowed}; got {value!r}. The usual choice is the default.")


def _check_has_variance(name: str, rows: Floats) -> None:
    if len(rows) < 2:
        raise ValueError(
            f"{name} must have at least 2 rows (in feature maps, each position counts as one), since fewer have no "
            f"variance; got {len(rows)}. Make the batch larger or leave it out; single rows are for inference."
        )


def _standard_deviation(var: Floats, eps: float) -> Floats:
    _check_number("eps", eps, float(np.finfo(np.float64).max), "a finite number of at least 0")
    std: Floats = np.sqrt(var + eps)
    if not std.all():
        raise ValueError(
            f"eps must be above 0 where a feature is constant; got {eps!r} and no variance in feature "
            f"{int(np.argmin(std))}. Set eps, or drop the feature."
        )
    return std


# ---------------------------------------------------------------- dense layers


@dataclass(frozen=True, eq=False)  # whether two caches of arrays are equal has no single answer
class BatchNormCache:
    """What the forward pass computed on its way, as the backward pass needs it: the nodes of the graph.

    In the order in which they follow from each other: ``mean``, ``centred = x - mean``, ``var = mean(centred**2)``,
    ``std = sqrt(var + eps)``, ``inverse_std = 1 / std``, ``xhat = centred * inverse_std`` and, with the learned
    ``gamma`` and ``beta``, ``y = gamma * xhat + beta``.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean of the batch.
    centred : ndarray of shape (n_rows, n_features)
        Input less its mean.
    var : ndarray of shape (n_features,)
        Biased variance of the batch: the mean of the squares, divided by n_rows.
    std : ndarray of shape (n_features,)
        Standard deviation, kept from 0 by eps.
    inverse_std : ndarray of shape (n_features,)
        One over it.
    xhat : ndarray of shape (n_rows, n_features)
        Normalized input.
    gamma : ndarray of shape (n_features,)
        Scale, as it was in the forward pass.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import batch_norm_forward
    >>> _, cache = batch_norm_forward([[1.0], [5.0]], gamma=[1.0], beta=[0.0], eps=0)
    >>> cache.mean, cache.var, cache.std
    (array([3.]), array([4.]), array([2.]))
    """

    mean: Floats
    centred: Floats
    var: Floats
    std: Floats
    inverse_std: Floats
    xhat: Floats
    gamma: Floats


def batch_norm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, *, eps: float = 1e-5
) -> tuple[Floats, BatchNormCache]:
    """Normalize a batch by its own statistics, as in training (Algorithm 1 of the paper).

    Parameters
    ----------
    x : array-like of shape (n_rows, n_features)
        Batch of at least two rows.
    gamma : array-like of shape (n_features,)
        Scale of each feature.
    beta : array-like of shape (n_features,)
        Shift of each feature. It takes the place of a bias in the layer before, which the mean would swallow.
    eps : float, default=1e-5
        Added to the variance, so that it can be divided by. At least 0.

    Returns
    -------
    y : ndarray of shape (n_rows, n_features)
        ``gamma * (x - mean) / sqrt(var + eps) + beta``.
    cache : BatchNormCache
        What the backward pass needs.

    Raises
    ------
    ValueError
        Where x has fewer than two rows, a shape does not fit, a number is not finite, eps is negative, or eps is 0
        and a feature is constant.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import batch_norm_forward
    >>> y, cache = batch_norm_forward([[1.0, 10.0], [5.0, 50.0]], gamma=[1.0, 3.0], beta=[0.0, 7.0], eps=0)
    >>> y
    array([[-1.,  4.],
           [ 1., 10.]])
    """
    x = _with_axes("x", x, _TABLE)
    gamma = _per_feature("gamma", gamma, x.shape[1]).copy()  # it may learn before the backward pass comes
    beta = _per_feature("beta", beta, x.shape[1])
    _check_has_variance("x", x)
    mean: Floats = x.mean(axis=0)  # (n_features,)
    centred = x - mean  # (n_rows, n_features)
    var: Floats = (centred**2).mean(axis=0)  # (n_features,)
    std = _standard_deviation(var, eps)  # (n_features,)
    inverse_std = 1 / std  # (n_features,)
    xhat = centred * inverse_std  # (n_rows, n_features)
    y = gamma * xhat + beta  # (n_rows, n_features)
    return y, BatchNormCache(mean, centred, var, std, inverse_std, xhat, gamma)


def batch_norm_backward(dy: ArrayLike, cache: BatchNormCache) -> tuple[Floats, Floats, Floats]:
    """Pass the gradient back through the computation graph, node by node (Section 3 of the paper).

    Every row has a say in the mean and the variance, and through them in every other row: so the gradient reaches
    ``x`` by three ways, which are added up where they meet.

    Parameters
    ----------
    dy : array-like of shape (n_rows, n_features)
        Gradient of the loss with respect to the output.
    cache : BatchNormCache
        From `batch_norm_forward`.

    Returns
    -------
    dx : ndarray of shape (n_rows, n_features)
        Gradient with respect to the input.
    dgamma : ndarray of shape (n_features,)
        Gradient with respect to the scale.
    dbeta : ndarray of shape (n_features,)
        Gradient with respect to the shift.

    Raises
    ------
    ValueError
        Where dy has not the shape of the output, or a number in it is not finite.

    See Also
    --------
    batch_norm_backward_closed : The same in one expression.

    Examples
    --------
    Raising all outputs alike is what beta does, and nothing that x could do:

    >>> from stackkit.nn.batchnorm import batch_norm_backward, batch_norm_forward
    >>> y, cache = batch_norm_forward([[1.0], [5.0]], gamma=[1.0], beta=[0.0], eps=0)
    >>> dx, dgamma, dbeta = batch_norm_backward([[1.0], [1.0]], cache)
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([[0.0], [0.0]], [0.0], [2.0])
    """
    dy = _gradient(dy, cache)
    n_rows = len(dy)
    # Through y = scaled + beta: a sum hands the gradient to both; beta goes to all rows, so it collects from all
    dbeta: Floats = dy.sum(axis=0)  # (n_features,)
    dscaled = dy  # (n_rows, n_features)
    # Through scaled = gamma * xhat
    dgamma: Floats = (dscaled * cache.xhat).sum(axis=0)  # (n_features,)
    dxhat = dscaled * cache.gamma  # (n_rows, n_features)
    # Through xhat = centred * inverse_std
    dcentred = dxhat * cache.inverse_std  # (n_rows, n_features), the first of two ways to centred
    dinverse_std: Floats = (dxhat * cache.centred).sum(axis=0)  # (n_features,)
    # Through inverse_std = 1 / std
    dstd = -dinverse_std / cache.std**2  # (n_features,)
    # Through std = sqrt(var + eps)
    dvar = dstd / (2 * cache.std)  # (n_features,)
    # Through var = mean(squared): each row has 1 / n_rows of a say
    dsquared = dvar / n_rows  # (n_features,), the same for all rows
    # Through squared = centred ** 2
    dcentred = dcentred + 2 * cache.centred * dsquared  # (n_rows, n_features), both ways
    # Through centred = x - mean
    dx = dcentred  # (n_rows, n_features), the first of two ways to x
    dmean: Floats = -dcentred.sum(axis=0)  # (n_features,)
    # Through mean = mean(x)
    dx = dx + dmean / n_rows  # (n_rows, n_features), both ways
    return dx, dgamma, dbeta


def batch_norm_backward_closed(dy: ArrayLike, cache: BatchNormCache) -> tuple[Floats, Floats, Floats]:
    """Compute the gradient in one expression: the equations of Section 3 of the paper, simplified.

    Of the output's gradient it takes away what the normalization takes away from x: the mean, and the part that
    would only scale xhat.

    Parameters
    ----------
    dy : array-like of shape (n_rows, n_features)
        Gradient of the loss with respect to the output.
    cache : BatchNormCache
        From `batch_norm_forward`.

    Returns
    -------
    dx : ndarray of shape (n_rows, n_features)
        ``gamma / sqrt(var + eps) * (dy - mean(dy) - xhat * mean(dy * xhat))``.
    dgamma : ndarray of shape (n_features,)
        ``sum(dy * xhat)``.
    dbeta : ndarray of shape (n_features,)
        ``sum(dy)``.

    Raises
    ------
    ValueError
        Where dy has not the shape of the output, or a number in it is not finite.

    See Also
    --------
    batch_norm_backward : The same, step by step.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import batch_norm_backward_closed, batch_norm_forward
    >>> y, cache = batch_norm_forward([[-2.0], [0.0], [2.0]], gamma=[2.0], beta=[0.0], eps=0)
    >>> dx, dgamma, dbeta = batch_norm_backward_closed([[0.0], [3.0], [0.0]], cache)
    >>> dx.round(3).tolist(), dgamma.tolist(), dbeta.tolist()
    ([[-1.225], [2.449], [-1.225]], [0.0], [3.0])
    """
    dy, xhat = _gradient(dy, cache), cache.xhat
    dx = cache.gamma / cache.std * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0))
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)


def batch_norm_inference(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, mean: ArrayLike, var: ArrayLike, *, eps: float = 1e-5
) -> Floats:
    """Normalize by fixed statistics, so that no row depends on the others (Algorithm 2 of the paper, line 11).

    Parameters
    ----------
    x : array-like of shape (n_rows, n_features)
        Any number of rows.
    gamma : array-like of shape (n_features,)
        Scale of each feature.
    beta : array-like of shape (n_features,)
        Shift of each feature.
    mean : array-like of shape (n_features,)
        Mean of each feature, from `RunningStatistics` or `population_statistics`.
    var : array-like of shape (n_features,)
        Variance of each feature, from the same. At least 0.
    eps : float, default=1e-5
        As in training.

    Returns
    -------
    y : ndarray of shape (n_rows, n_features)
        ``gamma / sqrt(var + eps) * x + (beta - gamma * mean / sqrt(var + eps))``.

    Raises
    ------
    ValueError
        Where a shape does not fit, a number is not finite, var or eps is negative, or both are 0.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import batch_norm_inference
    >>> batch_norm_inference([[7.0]], gamma=[1.0], beta=[10.0], mean=[3.0], var=[4.0], eps=0)
    array([[12.]])
    """
    x = _with_axes("x", x, _TABLE)
    gamma, beta = (_per_feature(name, value, x.shape[1]) for name, value in (("gamma", gamma), ("beta", beta)))
    mean, var = (_per_feature(name, value, x.shape[1]) for name, value in (("mean", mean), ("var", var)))
    if (var < 0).any():
        raise ValueError(f"var must not be negative; got {float(var.min())!r}. Pass variances, as they are.")
    scale = gamma / _standard_deviation(var, eps)  # (n_features,)
    return scale * (x - mean) + beta  # centred first: a large mean costs no digits


def _gradient(dy: ArrayLike, cache: BatchNormCache) -> Floats:
    return _with_shape("dy", dy, cache.xhat.shape, "that of the forward pass's output")


# ---------------------------------------------------------------- convolutions


@dataclass(frozen=True, eq=False)
class ConvBatchNormCache:
    """What the forward pass over feature maps computed on its way.

    Attributes
    ----------
    shape : tuple of int
        Shape of the maps: (n, channels, height, width).
    rows : BatchNormCache
        The same for the maps as rows, of shape (n * height * width, channels).

    Examples
    --------
    >>> import numpy as np
    >>> from stackkit.nn.batchnorm import conv_batch_norm_forward
    >>> _, cache = conv_batch_norm_forward(np.zeros((2, 3, 4, 4)), gamma=np.ones(3), beta=np.zeros(3))
    >>> cache.shape, cache.rows.xhat.shape
    ((2, 3, 4, 4), (32, 3))
    """

    shape: tuple[int, ...]
    rows: BatchNormCache


def conv_batch_norm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, *, eps: float = 1e-5
) -> tuple[Floats, ConvBatchNormCache]:
    """Normalize each feature map over batch, height and width, as in training (Section 3.2 of the paper).

    All positions of a map are treated alike, as the convolution before treats them.

    Parameters
    ----------
    x : array-like of shape (n, channels, height, width)
        Feature maps. One image is enough if its maps have more than one position.
    gamma : array-like of shape (channels,)
        Scale of each feature map.
    beta : array-like of shape (channels,)
        Shift of each feature map.
    eps : float, default=1e-5
        Added to the variance. At least 0.

    Returns
    -------
    y : ndarray of shape (n, channels, height, width)
        Normalized maps, scaled and shifted.
    cache : ConvBatchNormCache
        What the backward pass needs.

    Raises
    ------
    ValueError
        Where a map has fewer than two values in the batch, and as in `batch_norm_forward`.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import conv_batch_norm_forward
    >>> y, _ = conv_batch_norm_forward([[[[1.0, 5.0]]]], gamma=[1.0], beta=[0.0], eps=0)  # 1 image, 1 map of 1 x 2
    >>> y
    array([[[[-1.,  1.]]]])
    """
    x = _with_axes("x", x, _MAPS)
    y, cache = batch_norm_forward(_to_rows(x), gamma, beta, eps=eps)
    return _to_maps(y, x.shape), ConvBatchNormCache(x.shape, cache)


def conv_batch_norm_backward(dy: ArrayLike, cache: ConvBatchNormCache) -> tuple[Floats, Floats, Floats]:
    """Pass the gradient back through normalized feature maps (Sections 3 and 3.2 of the paper).

    Parameters
    ----------
    dy : array-like of shape (n, channels, height, width)
        Gradient of the loss with respect to the output.
    cache : ConvBatchNormCache
        From `conv_batch_norm_forward`.

    Returns
    -------
    dx : ndarray of shape (n, channels, height, width)
        Gradient with respect to the input.
    dgamma : ndarray of shape (channels,)
        Gradient with respect to the scale.
    dbeta : ndarray of shape (channels,)
        Gradient with respect to the shift.

    Raises
    ------
    ValueError
        Where dy has not the shape of the output, or a number in it is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from stackkit.nn.batchnorm import conv_batch_norm_backward, conv_batch_norm_forward
    >>> y, cache = conv_batch_norm_forward([[[[1.0, 5.0]]]], gamma=[1.0], beta=[0.0], eps=0)
    >>> dx, dgamma, dbeta = conv_batch_norm_backward(np.ones_like(y), cache)
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([[[[0.0, 0.0]]]], [0.0], [2.0])
    """
    dy = _with_shape("dy", dy, cache.shape, "that of the forward pass's output")
    dx, dgamma, dbeta = batch_norm_backward(_to_rows(dy), cache.rows)
    return _to_maps(dx, cache.shape), dgamma, dbeta


def conv_batch_norm_inference(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, mean: ArrayLike, var: ArrayLike, *, eps: float = 1e-5
) -> Floats:
    """Normalize each feature map by fixed statistics (Algorithm 2 and Section 3.2 of the paper).

    Parameters
    ----------
    x : array-like of shape (n, channels, height, width)
        Feature maps of any number of images.
    gamma : array-like of shape (channels,)
        Scale of each feature map.
    beta : array-like of shape (channels,)
        Shift of each feature map.
    mean : array-like of shape (channels,)
        Mean of each feature map, from `RunningStatistics` or `population_statistics`.
    var : array-like of shape (channels,)
        Variance of each feature map, from the same. At least 0.
    eps : float, default=1e-5
        As in training.

    Returns
    -------
    y : ndarray of shape (n, channels, height, width)
        Normalized maps, scaled and shifted.

    Raises
    ------
    ValueError
        As in `batch_norm_inference`.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import conv_batch_norm_inference
    >>> conv_batch_norm_inference([[[[7.0]]]], gamma=[1.0], beta=[10.0], mean=[3.0], var=[4.0], eps=0)
    array([[[[12.]]]])
    """
    x = _with_axes("x", x, _MAPS)
    return _to_maps(batch_norm_inference(_to_rows(x), gamma, beta, mean, var, eps=eps), x.shape)


def _to_rows(maps: Floats) -> Floats:
    """Rearrange (n, channels, height, width) as (n * height * width, channels)."""
    n, channels, height, width = maps.shape
    return np.moveaxis(maps, 1, -1).reshape(n * height * width, channels)


def _to_maps(rows: Floats, shape: tuple[int, ...]) -> Floats:
    """Undo `_to_rows`."""
    n, channels, height, width = shape
    return np.moveaxis(rows.reshape(n, height, width, channels), -1, 1)


# ---------------------------------------------------------------- statistics for inference


@dataclass(frozen=True, eq=False)
class RunningStatistics:
    """Moving averages of the batches' statistics, kept during training (Section 3.1 of the paper).

    An update makes new statistics and leaves the old ones as they are. They are PyTorch's: the variance that is
    averaged is the unbiased one, though training normalizes by the biased one.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Running mean of each feature or feature map.
    var : ndarray of shape (n_features,)
        Running unbiased variance of each.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import RunningStatistics
    >>> running = RunningStatistics.start(1).update([[10.0], [14.0]])
    >>> running.mean, running.var
    (array([1.2]), array([1.7]))
    """

    mean: Floats
    var: Floats

    @classmethod
    def start(cls, n_features: int) -> Self:
        """Begin with a mean of 0 and a variance of 1.

        Parameters
        ----------
        n_features : int
            Number of features or feature maps.

        Returns
        -------
        statistics : RunningStatistics
            Statistics that have seen nothing.
        """
        return cls(np.zeros(n_features), np.ones(n_features))

    def update(self, x: ArrayLike, momentum: float = 0.1) -> Self:
        """Move the averages towards the statistics of one more batch.

        Parameters
        ----------
        x : array-like of shape (n_rows, n_features) or (n, channels, height, width)
            The batch, as it goes into the normalization.
        momentum : float, default=0.1
            Share of the new batch: ``new = (1 - momentum) * old + momentum * batch``. From 0 to 1.

        Returns
        -------
        statistics : RunningStatistics
            The new averages.

        Raises
        ------
        ValueError
            Where x has fewer than two rows or other features than the statistics, a number is not finite, or
            momentum is not between 0 and 1.
        """
        _check_number("momentum", momentum, 1, "a number from 0 to 1")
        mean, var = _unbiased_statistics("x", x)
        old_mean, old_var = (_per_feature(name, getattr(self, name), len(mean)) for name in ("mean", "var"))
        return type(self)(
            (1 - momentum) * old_mean + momentum * mean,
            (1 - momentum) * old_var + momentum * var,
        )


def population_statistics(batches: Iterable[ArrayLike]) -> tuple[Floats, Floats]:
    """Average the batches' statistics over the training set, once the net is trained (Algorithm 2, line 10).

    Parameters
    ----------
    batches : iterable of array-like of shape (n_rows, n_features) or (n, channels, height, width)
        Training batches, as they go into the normalization. One at a time is in use, and each counts the same:
        they should be of one size.

    Returns
    -------
    mean : ndarray of shape (n_features,)
        Mean of the batches' means, of each feature or feature map.
    var : ndarray of shape (n_features,)
        Mean of the batches' unbiased variances: of ``m / (m - 1)`` times the biased one, for batches of m rows.

    Raises
    ------
    ValueError
        Where there is no batch, one has fewer than two rows, their features differ, or a number is not finite.

    Examples
    --------
    >>> from stackkit.nn.batchnorm import population_statistics
    >>> population_statistics([[[1.0], [3.0]], [[4.0], [8.0]]])
    (array([4.]), array([5.]))
    """
    statistics = [_unbiased_statistics(f"batches[{i}]", batch) for i, batch in enumerate(batches)]
    counts = sorted({len(mean) for mean, _ in statistics})
    if len(counts) != 1:
        raise ValueError(
            "batches must hold at least one batch, and all of them the same features; "
            f"got {len(statistics)} batches with {counts} features. Pass the batches of one layer's input."
        )
    means, variances = zip(*statistics, strict=True)
    return np.mean(means, axis=0), np.mean(variances, axis=0)


def _unbiased_statistics(name: str, x: ArrayLike) -> tuple[Floats, Floats]:
    x = _with_axes(name, x, _TABLE, _MAPS)
    rows = _to_rows(x) if x.ndim == len(_MAPS) else x
    _check_has_variance(name, rows)
    return rows.mean(axis=0), rows.var(axis=0, ddof=1)
