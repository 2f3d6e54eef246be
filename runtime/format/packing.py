"""Prepared methods and packed weights from a file.

They stand for the program on one instruction set, and are believed as little: graphs are verified here, every weight's
kernel, parameters and size are compared with what the graph asks for when it is planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import FormatError
from ..ir import Graph, verify
from ..ops import Array
from ..program import PackedMethod, PackedWeight, Packing, Program
from .decode import Decoder, refusing
from .limits import ALIGNMENT, MAX_NAME, MAX_PACKED_WEIGHTS, MAX_PARAMS, MAX_TARGETS
from .strict_json import take, take_list, take_name, take_record, take_text

_KEYS = frozenset({"layout", "operators", "tensors", "targets"})
_METHOD_KEYS = frozenset({"graph", "weights"})


def decode_packing(document: Any, program: Program, arrays: Mapping[str, Array]) -> Packing:
    """The packing of `program` that `document` describes, over tensors of both. Raises FormatError."""
    record = take_record(document, "packing", _KEYS)
    layout = take_text(record["layout"], "packing: layout", MAX_NAME)
    decoder = Decoder(record["operators"], arrays)
    targets = take(record["targets"], dict, "packing: targets")
    if len(targets) > MAX_TARGETS:
        raise FormatError(f"packing: {len(targets)} targets (at most {MAX_TARGETS})")
    return Packing(
        layout,
        {
            take_name(isa, "packing: target", MAX_NAME): {
                name: _method(method, name, program, decoder)
                for name, method in take(methods, dict, "packing: methods").items()
            }
            for isa, methods in targets.items()
        },
    )


def _method(document: Any, name: str, program: Program, decoder: Decoder) -> PackedMethod:
    where = f"packed method '{name[:80]}'"
    if name not in program.methods:
        raise FormatError(f"{where} is not in the program")
    record = take_record(document, where, _METHOD_KEYS)
    with refusing():
        graph = decoder.graph(record["graph"], where)
        verify(graph)
    if _signature(graph) != _signature(program.methods[name]):
        raise FormatError(f"{where} has other inputs or outputs than the program's")
    rows = take_list(record["weights"], f"{where}: weights", MAX_PACKED_WEIGHTS)
    return PackedMethod(graph, [_weight(row, f"{where}: weight", decoder) for row in rows])


def _signature(graph: Graph) -> tuple[Any, ...]:
    return (
        [(value.name, value.type) for value in graph.inputs],
        [(name, value.type) for name, value in graph.outputs],
        [(state.name, state.before.type) for state in graph.states],
        graph.symbols,
    )


def _weight(document: Any, where: str, decoder: Decoder) -> PackedWeight:
    row = take_list(document, where, 3)
    if len(row) != 3:
        raise FormatError(f"{where}: {len(row)} fields instead of 3")
    symbol = take_text(row[0], f"{where}: kernel", MAX_NAME)
    text = take_text(row[1], f"{where}: parameters", 2 * MAX_PARAMS)
    try:
        params = bytes.fromhex(text)
    except ValueError:
        raise FormatError(f"{where}: parameters are not hexadecimal") from None
    data = decoder.array(row[2], where)
    if data.dtype != np.uint8 or data.ndim != 1 or data.ctypes.data % ALIGNMENT:
        raise FormatError(f"{where}: not bytes at a multiple of {ALIGNMENT}")
    return PackedWeight(symbol, params, data)
