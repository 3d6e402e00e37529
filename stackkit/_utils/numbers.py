"""Numbers that several folders go by."""

import numpy as np

# Probabilities of exactly 0 cost as much as log_loss of scikit-learn makes them cost.
EPSILON = float(np.finfo(np.float64).eps)

# float32 probabilities of a softmax over many classes sum to one only to about 1e-6, rounded tables to less; what is
# off by more than this is something else than probabilities.
SUM_TOLERANCE = 1e-3
# Of float16, whose logarithms of likelihoods are off by more than their probabilities.
HALF_TOLERANCE = 0.05


def as_figure(value: float, digits: int = 4) -> str:
    """A number to be read: whole where it is large, else so many digits that count; without powers of ten."""
    if 10**digits <= abs(value) < 1e15:
        return f"{value:,.0f}"
    figure = f"{value:.{digits}g}"
    return np.format_float_positional(float(figure), trim="-") if 1e-9 <= abs(value) < 1e-4 else figure
