"""The operator set. Importing this package imports every family module beside it, which defines its operators."""

from importlib import import_module
from pkgutil import iter_modules

from .opdef import Array, Attr, Case, OpDef, define, get, registry

for _module in sorted(m.name for m in iter_modules(__path__) if m.name != "opdef"):
    import_module(f"{__name__}.{_module}")

__all__ = ["Array", "Attr", "Case", "OpDef", "define", "get", "registry"]
