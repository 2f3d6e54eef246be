"""Names of a traced program's outputs."""

from __future__ import annotations

from typing import Any

from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.utils import _pytree as pytree


def output_names(program: ExportedProgram) -> list[str]:
    """A name for every output spec: keys of dicts, ``out0``, ``out1`` of tuples, ``output`` of a single tensor.

    Names of nested containers are joined by dots.
    """
    signature = program.module_call_graph[0].signature
    specs = program.graph_signature.output_specs
    count = sum(spec.kind == OutputKind.USER_OUTPUT for spec in specs)
    names = [f"out{index}" for index in range(count)]
    if signature is not None and signature.out_spec.num_leaves == count:
        structure = pytree.tree_unflatten(list(range(count)), signature.out_spec)
        names = [_join(path) for path, _ in pytree.tree_flatten_with_path(structure)[0]]
    elif count == 1:
        names = ["output"]
    given = iter(names)
    return [next(given) if spec.kind == OutputKind.USER_OUTPUT else "" for spec in specs]


def _join(path: tuple[Any, ...]) -> str:
    parts: list[str] = []
    for position, entry in enumerate(path):
        if hasattr(entry, "idx"):
            parts.append(f"out{entry.idx}" if position == 0 else str(entry.idx))
        else:
            parts.append(str(getattr(entry, "key", getattr(entry, "name", entry))))
    return ".".join(parts) or "output"
