"""What the GPU's kernels compute, one module a kernel family; each has a `FAMILY`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from ..family import Family


@cache
def families() -> Mapping[str, Family]:
    """The families by name."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    return {module.FAMILY.name: module.FAMILY for module in modules}
