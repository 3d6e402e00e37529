"""What skops has to trust to read a stack that skops itself has written, or MLflow by way of it."""

from __future__ import annotations


def skops_trusted_types() -> list[str]:
    """Names of stackkit's classes and functions, for ``trusted`` of ``skops.io.load``.

    ``save`` and ``load`` need none of this. It is for programs that write models with skops, as MLflow does
    (``mlflow.sklearn.log_model(model, skops_trusted_types=skops_trusted_types())``).

    Returns
    -------
    list of str
        Such as "stackkit._model.stackers.StackingClassifier". Names of other libraries' classes that a model holds are
        not among them: ``skops.io.get_untrusted_types`` tells which.

    See Also
    --------
    save : Files that are sealed, hold what skops does not describe, and need no names.

    Examples
    --------
    >>> import skops.io
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from stackkit import StackingClassifier, skops_trusted_types
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingClassifier([GaussianNB()]).fit(X, y)
    >>> same = skops.io.loads(skops.io.dumps(model), trusted=skops_trusted_types())
    >>> bool((same.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    from stackkit._persistence.codecs import STACKKITS_OWN  # noqa: PLC0415 - it knows everything, as would who imports this

    return sorted(STACKKITS_OWN)
