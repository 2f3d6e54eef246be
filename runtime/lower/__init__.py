"""Lowering rules, for every backend whose kernels keep the families' contracts (`cpu/kernels/<family>/<family>.h`).

Modules export `RULES`, from operator name or operator family to rule; `ROW_READERS`, to the names of inputs that may
lie inside the rows of another value; `ROW_WRITERS`, whose keys' results may.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from ..ir import Node
from ..plan.lowering import Rule


def rule(op: str, family: str) -> Rule | None:
    """The rule of an operator, else of its family."""
    rules = _collected("RULES")
    return rules.get(op) or rules.get(family)


def reads_rows(node: Node, index: int) -> bool:
    """Whether the node's rule takes input `index` from inside the rows of another value."""
    found = _collected("ROW_READERS")
    names = found.get(node.op.name, found.get(node.op.family, ()))
    declared = [name.strip("?*") for name in node.op.inputs]
    return declared[min(index, len(declared) - 1)] in names


def writes_rows(node: Node) -> bool:
    """Whether the node's rule can put the result inside the rows of another value."""
    found = _collected("ROW_WRITERS")
    return node.op.name in found or node.op.family in found


@cache
def _collected(table: str) -> Mapping[str, Any]:
    """One table of all modules."""
    entries: dict[str, Any] = {}
    for module in iter_modules(__path__):
        found: Mapping[str, Any] = getattr(import_module(f"{__name__}.{module.name}"), table, {})
        clash = entries.keys() & found.keys()
        if clash:
            raise ValueError(f"{table}: two entries for {', '.join(sorted(clash))}")
        entries.update(found)
    return entries
