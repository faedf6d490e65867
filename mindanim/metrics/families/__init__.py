"""The metrics, by family; every module in this folder registers its own."""

from importlib import import_module
from pkgutil import iter_modules

_FIRST = ("semantic", "pixel", "motion", "feature")
"""The order of the tables."""

for _name in dict.fromkeys((*_FIRST, *(module.name for module in iter_modules(__path__)))):
    import_module(f"{__name__}.{_name}")
