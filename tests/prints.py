"""What the tests of fingerprints have in common: comparing them, alone and as a learner's parameter."""

from sklearn.base import BaseEstimator

from stackkit._store.fingerprint import data_fingerprint, fingerprint, learner_fingerprint


def all_differ(values, of=fingerprint):
    return len({of(value) for value in values}) == len(values)


def same(*values, of=data_fingerprint):
    return len({of(value) for value in values}) == 1


class Takes(BaseEstimator):
    def __init__(self, part=None):
        self.part = part

    def apply(self, X):
        return X * self.part


def of_part(part):
    return learner_fingerprint(Takes(part))
