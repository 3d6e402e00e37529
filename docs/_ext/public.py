"""What is public: the modules whose names a user may rely on, and their names."""

import inspect
from importlib import import_module
from types import ModuleType

MODULES = [
    "stackkit",
    "stackkit.evaluation",
    "stackkit.inspection",
    "stackkit.uncertainty",
    "stackkit.plots",
    "stackkit.nn",
    "stackkit.nn.batchnorm",
    "stackkit.datasets",
    "stackkit.exceptions",
]


def public_names(module: ModuleType) -> list[str]:
    """Full names, such as "stackkit.StackingClassifier"; without the modules among them."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
        and not name.startswith("_")
    ]
    return [f"{module.__name__}.{name}" for name in names if not inspect.ismodule(getattr(module, name))]


def own_methods(module: str, name: str) -> list[str]:
    """Public methods of a class that stackkit wrote; without those of scikit-learn and torch, which they document."""
    cls = getattr(import_module(module), name)
    members = inspect.getmembers(cls, lambda value: inspect.isroutine(value) and is_own(value))
    return [method for method, value in members if not method.startswith("_") and value.__doc__]


def is_own(member: object) -> bool:
    """Whether a function, method or property is defined in stackkit."""
    function = member.fget if isinstance(member, property) else member
    return (getattr(inspect.unwrap(function), "__module__", None) or "").partition(".")[0] == "stackkit"
