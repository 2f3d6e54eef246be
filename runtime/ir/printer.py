"""Prints graphs in the manner of TorchScript: one line an operator."""

from __future__ import annotations

from typing import Any

from .graph import Graph, Value
from .lazy import Half, dense


def print_graph(graph: Graph, name: str = "forward", indent: str = "") -> str:
    """The graph as text, ending without a newline."""
    names: dict[Value, str] = {}
    taken: set[str] = set()

    def label(value: Value | None) -> str:
        if value is None:
            return "None"
        if value not in names:
            base = value.name or ("c" if value.is_constant else "v")
            unique, count = base, 0
            while unique in taken:
                count += 1
                unique = f"{base}.{count}"
            taken.add(unique)
            names[value] = unique
        return f"%{names[value]}"

    inputs = [f"{label(value)}: {value.type}" for value in graph.inputs]
    inputs += [f"{label(state.before)}: {state.before.type} (state '{state.name}')" for state in graph.states]
    lines = [f"{indent}def {name}({', '.join(inputs)}):"]
    for node in graph.nodes:
        arguments = [
            label(value) if value is None or not value.is_constant else _constant(value, label(value))
            for value in node.inputs
        ]
        bodies: list[str] = []
        for key, attr in node.attrs.items():
            if isinstance(attr, Graph):
                bodies.append(print_graph(attr, key, indent + "    "))
            elif attr != node.op.attrs[key].default:
                arguments.append(f"{key}={_attr(attr)}")
        outs = ", ".join(f"{label(out)}: {out.type}" for out in node.outputs)
        lines.append(f"{indent}  {outs} = {node.op.name}({', '.join(arguments)})")
        lines += bodies
    for state in graph.states:
        lines.append(f"{indent}  state '{state.name}' = {label(state.after)}")
    lines.append(f"{indent}  return {', '.join(f'{key}={label(value)}' for key, value in graph.outputs)}")
    return "\n".join(lines)


def _constant(value: Value, label: str) -> str:
    if value.stored is not None and value.stored.size == 1:
        return f"{dense(value.stored).reshape(-1)[0]!s}"
    stored = f" ({value.stored.format})" if isinstance(value.stored, Half) else ""
    return f"{label}: {value.type}{stored}"


def _attr(attr: Any) -> str:
    if isinstance(attr, tuple):
        return f"[{', '.join(map(_attr, attr))}]"
    return repr(attr) if isinstance(attr, str) else str(attr)
