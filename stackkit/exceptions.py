"""Errors and warnings of stackkit."""

from os import PathLike


class LearnerFailedError(ValueError):
    """A base learner could not be fitted on a fold, or predicted something unusable."""


class OtherVersionsError(RuntimeError):
    """A worker of a cluster has other versions of the libraries, and would give other results."""


class ModelFileError(ValueError):
    """A model file is damaged, of another format, or asks for what it must not; nothing in it was run."""

    def __init__(self, path: str | PathLike[str], cause: str) -> None:
        super().__init__(f"{path} {cause}.")
        self.cause = cause


class LearnerDroppedWarning(UserWarning):
    """A base learner failed and left the stack, because ``on_error="drop"``."""


class MissingClassWarning(UserWarning):
    """The training rows of a fold lacked a class, whose probability is then 0, or one of the values of a label."""


class IgnoredWeightsWarning(UserWarning):
    """An estimator takes no ``sample_weight``: it was fitted without."""


class MissingScoreWarning(UserWarning):
    """All test rows of a fold have weight zero: there is no score of them."""


class RowOrderWarning(UserWarning):
    """The order of the rows does not suit the folds: scores may be far off."""


class UnreadValuesWarning(UserWarning):
    """Rows have infinite numbers, texts where the training rows have numbers, or a column without a value."""


class MissingPackageWarning(UserWarning):
    """A package cannot be used: the default learners that need it are left out."""


class NotProbabilitiesWarning(UserWarning):
    """A meta-learner that blends class probabilities was given something else."""


class StoreWarning(UserWarning):
    """Results could not be kept in the store, or could not be read from it: they are computed again."""


class OtherVersionsWarning(UserWarning):
    """A model was saved with other versions of the libraries, and may give other predictions."""
