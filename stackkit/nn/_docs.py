"""What the networks' parameters and attributes are: one text for all estimators that have them."""

import re
from collections.abc import Callable
from inspect import cleandoc
from textwrap import indent


def _entries(text: str) -> dict[str, str]:
    """Texts by the name with which each begins; a blank line is between two."""
    return {entry.partition(" :")[0]: entry for entry in cleandoc(text).split("\n\n")}


def documented(*sources: dict[str, str]) -> Callable[[type], type]:
    """Put the texts in place of their names, where lines of a class's docstring have nothing but names in braces."""
    texts = {name: entry for source in sources for name, entry in source.items()}

    def written_out(found: re.Match[str]) -> str:
        entries = "\n\n".join(texts[name] for name in re.findall(r"\w+", found[0]))
        return indent(entries, "    ") + "\n"

    def decorate(cls: type) -> type:
        cls.__doc__ = re.sub(r"(?m)(?:^ +\{\w+\}(?: \{\w+\})*\n)+", written_out, cls.__doc__ or "")
        return cls

    return decorate


ALL = _entries("""
    activation : {"relu", "tanh", "sigmoid", "selu", "silu", "mish"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    clip_norm : float, default=None
        Largest norm of a network's gradient, over all its parameters, above 0: a longer gradient is shortened to it
        at each step, as `torch.nn.utils.clip_grad_norm_` does. None: it is taken as it is.

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

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints one line per epoch, as skorch does.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.
""")

CLASSIFIER = _entries("""
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in ``fit``.
""")

MLP = _entries("""
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer.

    scaling : {"robust-clip", "standard"} or None, default="robust-clip"
        How the columns of X are scaled, learned from the training rows. "robust-clip": by median and quartiles, and
        then x / sqrt(1 + (x / 3)^2), so that no value is beyond 3 [6]_. "standard": by mean and standard deviation.
        None: not at all.

    num_embedding : {"ple", "pbld"} or None, default="ple"
        "ple" shows the network each column also in pieces [5]_: ramps between quantiles of the training rows, of
        which its first layer can make any piecewise-linear function of the column. A column of few values has a
        piece between each two of them. "pbld" learns waves of each column that is a quantity (of more than ten
        values) and mixes them to three features of it [6]_, at a tenth of the learning rate: for smooth relations, at
        about twice the time. None: the bare columns alone.

    n_bins : int or "auto", default="auto"
        Pieces of a column, at most; 2 or more. "auto" is a third of the root of the training rows, 32 at most, and
        less where all columns together would have more pieces than there are training rows, or more than 2,000.

    missing : {"error", "indicator"}, default="error"
        "indicator" takes missing values (NaN): the middle of their column stands in their place, and columns that have
        any in the training rows are followed by one that tells where. Needs a ``scaling``.

    categorical_features : list of int or str, array of bool, "from_dtype" or None, default=None
        Columns of categories: their places or names, a mask, or those of a frame that are of dtype "category". They may
        hold text or numbers, and missing values, which are a level of their own. Levels are learned from the training
        rows; those of less than three rows, and such as come later, are one. A column of up to eight levels becomes an
        indicator for each, one of more gets eight learned numbers for each, "entity embeddings" [6]_ [8]_. None: all
        columns are numbers.

    input_batch_norm : bool, default=False
        Normalize the input too, batch by batch. Helps where the features are not scaled beforehand.

    front_scale : bool, default=True
        A learned factor for each input of the first layer, one at the start, which moves at 20 times the learning rate,
        but at 0.06 at most [6]_: columns, and pieces of them, that are of no use are turned down as a whole.

    precision : {"auto", "bfloat16", "float32"}, default="auto"
        Precision of large products in training: those of hidden layers with a million multiplications and more a step;
        the first layer's only where its inputs are in pieces, since plain numbers may lose in bfloat16 what tells them
        apart. "auto" is bfloat16 where the processor has it and ``dtype`` is "float32". Sums, Batch Normalization and
        predictions are in ``dtype``.

    dropout : float, default=0.15
        Share of the hidden activations set to zero in training; below 1.

    early_stopping : bool or "auto", default="auto"
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. Each member has other rows to stop by, so that together they learn from all. With ``groups``
        given to ``fit``, groups stay together. "auto" does so from 30 rows (and 5 groups) on, but not with
        ``snapshots``, ``warm_start``, a ``module`` of your own or in ``partial_fit``.

    validation_fraction : float or int, default=0.2
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int or "auto", default="auto"
        Epochs without a lower loss after which a network stops; "auto" is a sixth of ``max_epochs``, and at least 10.

    n_members : int or "auto", default="auto"
        Independent networks whose predictions are averaged; trained packed together, they cost little more than
        one. "auto" is 5 up to 10,000 training rows, where several short trainings beat a long one, and above 3
        with early stopping, else 1; with ``snapshots`` it is 1.

    max_epochs : int or "auto", default="auto"
        Passes over the training rows; with ``early_stopping``, at most so many. "auto" is 60, less above
        10,000 training rows (20 from 30,000 on), and more where there are so few rows that this would make less than
        1,000 steps. Without early stopping it is 10, and at least 100 steps.

    batch_size : int or "auto", default="auto"
        Rows per step, at least 2. The rows of an epoch are split evenly, so that a batch may have a few more or
        less, and never one. "auto" grows with the rows, in powers of two: 32 up to 2,900 rows, then about a
        64th, 512 at most.

    lr : float, default=0.003
        Learning rate, before its schedule.

    schedule : {"constant", "one-cycle", "cosine", "flat-cosine", "coslog4"}, default="cosine"
        The learning rate over ``max_epochs``: constant; up and then down to zero; down to zero along a cosine, once
        for each of the ``snapshots``; constant for the first half, and then down to zero along a cosine; or up and
        down again four times, each time twice as long as before, (1 - cos(2 pi log2(1 + 15 t))) / 2 with t
        from 0 to 1 [6]_.

    optimizer : {"adam", "sgd", "muon"} or subclass of torch.optim.Optimizer, default="adam"
        Adam (with decoupled weight decay), gradient descent with Nesterov's momentum of 0.9, or Muon [7]_ for the
        hidden layers' weights with Adam for the rest. Networks of your own class of optimizer are trained one by one.

    beta_2 : float, default=0.95
        Adam's memory of squared gradients: the share that it keeps at each step; at least 0 and less than 1.

    regularization_schedule : {"constant", "cosine", "flat-cosine"}, default="constant"
        How ``dropout`` and ``weight_decay`` change over ``max_epochs``, an epoch at a time: not at all; along a cosine
        to zero; or not at all in the first half, and then along a cosine to zero, as in RealMLP [6]_.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(n_features,
        n_outputs)``, where the outputs are logits or values. The parameters that shape the built-in network are
        then without effect. Networks of your own are not packed.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. Seeded results are the same bit for bit
        for the same number of threads, in any process or thread.

    n_features_in_ : int
        Columns of X in ``fit``.

    categories_in_ : object or None
        Columns of categories: ``columns``, their places in X, and ``levels``, a list of the levels of each.
""")

CNN = _entries("""
    preset : {"fast", "large", "reference"} or None, default="fast"
        "reference" is the classic network for MNIST: two convolutions of 3 x 3 with 32 maps, pooling, 128 dense
        units; trained with Adam at a constant rate, in batches of 32. "fast" has three convolutions, of which
        the first has a stride of 2, and is trained with Muon in one cycle; "large" is that with five wider ones and
        128 dense units, trained for longer. None: your own ``blocks``.

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

    cutout : int, default=None
        Side of a square, in pixels, that is set to the mean of all pixels in each training image, at a random place,
        also partly outside [6]_; after the distortions of ``augment``. None: as the `Augmentation` has it, which by
        name is no square.

    test_shifts : bool, default=False
        Average predictions over each image and its four neighbours, one pixel up, down, left and right.

    precision : {"auto", "bfloat16", "float32"}, default="auto"
        Precision of products in training. "auto" is bfloat16 where the processor has it and ``dtype`` is
        "float32", if a trial batch comes out nearly the same. Predictions are made in ``dtype``.

    dropout : float, default=0.0
        Share of the activations of the dense part set to zero in training; below 1.

    n_members : int or "auto", default=1
        Independent networks whose predictions are averaged; "auto" is 1.

    max_epochs : int or "auto", default="auto"
        Passes over the training rows; with ``early_stopping``, at most so many. "auto" is 10 for
        "reference" and "large", else 5, and more where there are so few images that this would make less than 100
        steps.

    batch_size : int or "auto", default="auto"
        Images per step, at least 2. The images of an epoch are split evenly, so that a batch may have a few more
        or less, and never one. "auto" is 32 for "reference", else grows with the images, in powers of two, from
        16 to 128.

    lr : float or "auto", default="auto"
        Learning rate, before its schedule; "auto" is 0.001 for "reference", 0.02 for "large", else 0.01.

    schedule : {"constant", "one-cycle", "cosine", "flat-cosine", "coslog4"} or "auto", default="auto"
        The learning rate over ``max_epochs``: constant; up and then down to zero; down to zero along a cosine, once
        for each of the ``snapshots``; constant for the first half, and then down to zero along a cosine; or up and
        down again four times, each time twice as long as before, (1 - cos(2 pi log2(1 + 15 t))) / 2 with t
        from 0 to 1. "auto" is "constant" for "reference", else "one-cycle".

    optimizer : {"adam", "sgd", "muon"} or subclass of torch.optim.Optimizer, or "auto", default="auto"
        Adam (with decoupled weight decay), gradient descent with Nesterov's momentum of 0.9, or Muon [5]_ for
        the inner layers' weights with Adam for the rest. "auto" is "adam" for "reference", else "muon".

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(image_shape,
        n_outputs)``, with (channels, height, width) of standardised images, and logits or values as outputs.
        The parameters that shape the built-in network are then without effect.

    ema_decay : float, default=None
        End with a moving average of the weights over the training steps, in which each step counts ``ema_decay``
        times the next one; at least 0 and below 1, such as 0.99. Early stopping and callbacks see the average, too,
        and each of the ``snapshots`` is one. The statistics of Batch Normalization are taken anew for the averaged
        weights (``batch_stats="population"``), or averaged with them ("running"). Training that goes on
        (``warm_start``, ``partial_fit``) starts from the average. It gains much with ``schedule="constant"``, and
        hardly anything where the rate falls to zero. None: the weights after the last step.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. A CNN trained alone on a machine of
        several cores wants more than one. Seeded results are the same bit for bit for the same number of
        threads, in any process or thread.

    n_features_in_ : int
        Columns of X in ``fit`` (of its second axis).

    image_shape_ : tuple (channels, height, width)
        Of the images seen in ``fit``.
""")
