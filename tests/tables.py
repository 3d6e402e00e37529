"""Tables of predictions, as meta-learners get them, with learners of known skill."""

import numpy as np
from scipy.special import softmax


def learned(n, k, skills, seed=0):
    """Probabilities as (learner, row, class), and labels."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % k)
    common = rng.normal(size=(n, k))
    logits = [skill * np.eye(k)[y] + 0.5 * common + rng.normal(size=(n, k)) for skill in skills]
    return softmax(logits, axis=2), y


def columns(table):
    return table[:, :, 1].T if table.shape[2] == 2 else np.hstack(list(table))


def classed(n, k, skills, seed=0):
    table, y = learned(n, k, skills, seed)
    return columns(table), y


def numeric(n, noises, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    return y[:, None] + 0.3 * rng.normal(size=(n, 1)) + rng.normal(size=(n, len(noises))) * noises, y
