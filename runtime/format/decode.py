"""A program from its JSON document and tensors. Nothing in the document is believed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import FormatError, RushlightError, ShapeError
from ..ir import Graph, Half, Node, State, SymbolRange, Value
from ..ops import Array, Attr, OpDef, get
from ..program import Program
from ..types import DTYPES, SYMBOL, DimLike, TensorType, parse_dim
from .container import BFLOAT16, dtype_name
from .limits import (
    FORMAT_VERSION,
    MAX_ATTR_INT,
    MAX_ATTR_INTS,
    MAX_ATTR_ITEMS,
    MAX_ATTR_TEXT,
    MAX_BYTES,
    MAX_DIM,
    MAX_DIM_TERMS,
    MAX_METHODS,
    MAX_NAME,
    MAX_NODE_INPUTS,
    MAX_NODES,
    MAX_PORTS,
    MAX_RANK,
    MAX_SHAPE_TERMS,
    MAX_SYMBOLS,
    MAX_TENSORS,
)
from .strict_json import take, take_int, take_list, take_name, take_record, take_text

_PROGRAM_KEYS = frozenset({"version", "operators", "tensors", "methods"})
_GRAPH_KEYS = frozenset({"symbols", "inputs", "states", "constants", "nodes", "outputs"})
_NODE_KEYS = frozenset({"op", "name", "inputs", "attrs", "outputs"})
_INTEGER_LITERAL = re.compile(r"\d{16,}")
_SUM_GROUP = re.compile(r"\(([^()]*)\)")
_DIVISION = re.compile(r"//\d+\)")
_MAX_GRAPH_DEPTH = 16
_LARGEST_INT = (1 << 63) - 1


def decode_program(document: Any, arrays: Mapping[str, Array], provenance: Mapping[str, Any]) -> Program:
    """The verified program. Raises FormatError."""
    record = take_record(document, "program", _PROGRAM_KEYS)
    take_int(record["version"], "program: version", FORMAT_VERSION, FORMAT_VERSION)
    decoder = Decoder(record["operators"], arrays)
    methods = take(record["methods"], dict, "program: methods")
    if len(methods) > MAX_METHODS:
        raise FormatError(f"program: {len(methods)} methods (at most {MAX_METHODS})")
    with refusing():
        graphs = {_name(name, "method"): decoder.graph(graph, f"method '{name}'") for name, graph in methods.items()}
        program = Program(graphs, provenance)
    unused = sorted(arrays.keys() - decoder.used)
    if unused:
        raise FormatError(f"tensor '{unused[0][:80]}' belongs to no constant")
    return program


@contextmanager
def refusing() -> Iterator[None]:
    """Whatever goes wrong while a graph is built and verified becomes a FormatError."""
    try:
        yield
    except FormatError:
        raise
    except RushlightError as error:
        raise FormatError(str(error)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Shape rules are written for attributes of sane rank and range; what else they raise means a damaged file.
        raise FormatError(f"a node's attributes do not fit its inputs: {str(error)[:120]}") from None


class Decoder:
    """Builds graphs of one table of operators over `arrays`; `used` are the names of those that they hold."""

    def __init__(self, operators: Any, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays
        self._ops: dict[str, OpDef] = {}
        self.used: set[str] = set()
        self._nodes = 0
        self._read_operators(take(operators, dict, "program: operators"))

    def _read_operators(self, operators: dict[str, Any]) -> None:
        for name, version in operators.items():
            try:
                op = get(name)
            except RushlightError as error:
                raise FormatError(f"{error}; this file may need a newer Rushlight") from None
            if take_int(version, f"operator {name}: version", 1, 1 << 31) != op.version:
                raise FormatError(f"operator {name} of version {version}; this Rushlight has version {op.version}")
            self._ops[name] = op

    def graph(self, document: Any, where: str, depth: int = 0) -> Graph:
        """The graph that `document` describes, not yet verified; `where` names it in errors. Raises FormatError."""
        if depth > _MAX_GRAPH_DEPTH:
            raise FormatError(f"{where}: sub-graphs nested more than {_MAX_GRAPH_DEPTH} deep")
        record = take_record(document, where, _GRAPH_KEYS)
        graph = Graph(symbols=_symbols(record["symbols"], where))
        types = TypeReader(set(graph.symbols))
        graph.inputs = [types.value(item, f"{where}: input") for item in take_list(record["inputs"], where, MAX_PORTS)]
        states = [_row(item, 4, f"{where}: state") for item in take_list(record["states"], where, MAX_PORTS)]
        befores = [types.value(before, f"{where}: state") for _, before, _, _ in states]
        constants = take_list(record["constants"], f"{where}: constants", MAX_TENSORS * 8)
        values = [*graph.inputs, *befores, *(self._constant(item, where) for item in constants)]
        for index, item in enumerate(take_list(record["nodes"], f"{where}: nodes", MAX_NODES)):
            node = self._node(item, values, types, f"{where}: node {index}", depth)
            graph.nodes.append(node)
            values.extend(node.outputs)
        for (name, _, initial, after), before in zip(states, befores, strict=True):
            what = f"{where}: state"
            array = None if initial is None else self.array(initial, what)
            if array is not None and (array.dtype, array.shape) != (before.dtype, before.shape):
                raise FormatError(f"{what} is {before.type}, but starts as {array.dtype}{list(array.shape)}")
            graph.states.append(State(_name(name, what), before, _reference(after, values, what), array))
        _check_unique([state.name for state in graph.states], f"{where}: state")
        for item in take_list(record["outputs"], f"{where}: outputs", MAX_PORTS):
            name, reference = _row(item, 2, f"{where}: output")
            graph.outputs.append((_name(name, f"{where}: output"), _reference(reference, values, f"{where}: output")))
        return graph

    def _constant(self, item: Any, where: str) -> Value:
        what = f"{where}: constant"
        row = take_list(item, what, 3)
        if len(row) not in (2, 3):
            raise FormatError(f"{what}: {len(row)} fields instead of 2 or 3")
        array = self.array(row[1], what)
        stored: Array | Half = array
        if len(row) == 3:
            stored = _halves(array, row[2], what)
        elif array.dtype == BFLOAT16:
            raise FormatError(f"{what} is bfloat16: it must be read as float32")
        return Value(TensorType(stored.dtype, stored.shape), take_name(row[0], what, MAX_NAME), stored)

    def array(self, key: Any, where: str) -> Array:
        """The array called `key`. Raises FormatError."""
        key = take_text(key, f"{where}: tensor", MAX_NAME)
        if key not in self._arrays:
            raise FormatError(f"{where}: tensor '{key[:80]}' is missing")
        self.used.add(key)
        return self._arrays[key]

    def _node(self, item: Any, values: list[Value], types: TypeReader, where: str, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise FormatError(f"more than {MAX_NODES} nodes")
        record = take_record(item, where, _NODE_KEYS)
        name = take_text(record["op"], f"{where}: op", MAX_NAME)
        if name not in self._ops:
            raise FormatError(f"{where}: operator '{name[:80]}' is not among the program's operators")
        op = self._ops[name]
        where = f"{where} ({name})"
        inputs = [
            None if read is None else _reference(read, values, where)
            for read in take_list(record["inputs"], f"{where}: inputs", MAX_NODE_INPUTS)
        ]
        attrs: dict[str, Any] = {}
        for key, value in take(record["attrs"], dict, f"{where}: attrs").items():
            if key not in op.attrs:
                raise FormatError(f"{where}: unknown attribute '{key[:80]}'")
            attrs[key] = self._attr(op.attrs[key], value, types, f"{where}: attribute '{key}'", depth)
        outputs = [types.value(out, f"{where}: output") for out in take_list(record["outputs"], where, MAX_PORTS)]
        title = take_name(record["name"], f"{where}: name", MAX_NAME)
        return Node(op, inputs, op.complete_attrs(attrs), outputs, title)

    def _attr(self, attr: Attr, value: Any, types: TypeReader, where: str, depth: int) -> Any:
        if value is None:
            return None
        match attr.kind:
            case "graph":
                return self.graph(value, where, depth + 1)
            case "bool":
                return take(value, bool, where)
            case "int":
                return take_int(value, where, -MAX_ATTR_INT, MAX_ATTR_INT)
            case "float":
                return _number(value, where)
            case "ints":
                items = take_list(value, where, MAX_ATTR_ITEMS)
                return tuple(take_int(v, where, -MAX_ATTR_INTS, MAX_ATTR_INTS) for v in items)
            case "floats":
                return tuple(_number(v, where) for v in take_list(value, where, MAX_ATTR_ITEMS))
            case "dims":
                return types.dims(take_list(value, where, MAX_ATTR_ITEMS), where, -MAX_DIM, MAX_DIM)
        text = take_name(value, where, MAX_ATTR_TEXT)
        if attr.kind == "dtype" and text not in DTYPES:
            raise FormatError(f"{where}: unknown dtype '{text[:40]}'")
        return text


class TypeReader:
    """Reads types whose dimensions use the symbols of one graph."""

    def __init__(self, symbols: set[str]) -> None:
        self._symbols = symbols
        self._parsed: dict[str, DimLike] = {}

    def value(self, item: Any, where: str) -> Value:
        name, dtype, shape = _row(item, 3, where)
        name = take_name(name, f"{where}: name", MAX_NAME)
        dtype = take_text(dtype, f"{where}: dtype", 16)
        if dtype not in DTYPES:
            raise FormatError(f"{where}: unknown dtype '{dtype}'")
        dims = self.dims(take_list(shape, f"{where}: shape", MAX_RANK), f"{where} '{name[:80]}'", 0, MAX_DIM)
        nbytes = math.prod(dim for dim in dims if isinstance(dim, int)) * np.dtype(dtype).itemsize
        if nbytes > MAX_BYTES:
            raise FormatError(f"{where} '{name[:80]}': {nbytes} bytes (at most {MAX_BYTES})")
        return Value(TensorType(np.dtype(dtype), dims), name)

    def dims(self, items: list[Any], where: str, low: int, high: int) -> tuple[DimLike, ...]:
        dims = tuple(
            take_int(item, f"{where}: dimension", low, high)
            if not isinstance(item, str)
            else self._symbolic(item, where)
            for item in items
        )
        if math.prod(len(dim.terms) for dim in dims if not isinstance(dim, int)) > MAX_SHAPE_TERMS:
            raise FormatError(f"{where}: dimensions of too many terms")
        return dims

    def _symbolic(self, text: str, where: str) -> DimLike:
        if text not in self._parsed:
            self._parsed[text] = self._parse(text, where)
        return self._parsed[text]

    def _parse(self, text: str, where: str) -> DimLike:
        what = f"{where}: dimension '{text[:80]}'"
        if _INTEGER_LITERAL.search(text):
            raise FormatError(f"{what} holds too large a number")
        _check_sums(text, what)
        try:
            dim = parse_dim(text)
        except ShapeError as error:
            raise FormatError(f"{where}: {error}") from None
        if isinstance(dim, int) or str(dim) != text:
            raise FormatError(f"{what} is not in its canonical form")
        if len(dim.terms) > MAX_DIM_TERMS:
            raise FormatError(f"{what} has more than {MAX_DIM_TERMS} terms")
        if undeclared := sorted(dim.symbols() - self._symbols):
            raise FormatError(f"{what}: symbol '{undeclared[0]}' is not declared")
        return dim


def _check_sums(text: str, what: str) -> None:
    """Refuses products of sums, which would be multiplied out: a sum in brackets must be divided, as `((a+b)//2)`."""
    previous = ""
    while previous != text:
        previous = text
        for match in _SUM_GROUP.finditer(text):
            divided = text[match.start() - 1 : match.start()] == "(" and _DIVISION.match(text, match.end())
            if re.search(r"[-+]", match.group(1)) and not divided:
                raise FormatError(f"{what} is not in its canonical form")
        text = _SUM_GROUP.sub("x", text)


def _symbols(document: Any, where: str) -> dict[str, SymbolRange]:
    symbols = take(document, dict, f"{where}: symbols")
    if len(symbols) > MAX_SYMBOLS:
        raise FormatError(f"{where}: {len(symbols)} symbols (at most {MAX_SYMBOLS})")
    out = {}
    for name, span in symbols.items():
        what = f"{where}: symbol '{name[:80]}'"
        if not SYMBOL.fullmatch(name):
            raise FormatError(f"{what} is not a name for a dimension")
        low, high = _row(span, 2, what)
        low = take_int(low, what, 0, MAX_DIM)
        out[name] = SymbolRange(low, None if high is None else take_int(high, what, low, MAX_DIM))
    return out


def _halves(array: Array, dtype: Any, what: str) -> Half:
    """A constant of `dtype` whose tensor holds halves of it."""
    if take_text(dtype, f"{what}: dtype", 16) != "float32" or array.dtype not in (np.float16, BFLOAT16):
        raise FormatError(f"{what}: {dtype_name(array.dtype)} cannot be read as {dtype}")
    return Half(array.view(np.uint16) if array.dtype == BFLOAT16 else array)


def _row(item: Any, length: int, what: str) -> list[Any]:
    row = take_list(item, what, length)
    if len(row) != length:
        raise FormatError(f"{what}: {len(row)} fields instead of {length}")
    return row


def _reference(index: Any, values: list[Value], where: str) -> Value:
    number = take_int(index, f"{where}: value", 0, _LARGEST_INT)
    if number >= len(values):
        raise FormatError(f"{where}: value {number} is used before it is assigned")
    return values[number]


def _name(value: Any, what: str) -> str:
    name = take_name(value, f"{what}: name", MAX_NAME)
    if not name:
        raise FormatError(f"{what} without a name")
    return name


def _check_unique(names: list[str], what: str) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"{what} '{twice[:80]}' is listed twice")


def _number(value: Any, where: str) -> float:
    if type(value) is str and value in ("inf", "-inf", "nan"):
        return float(value)
    if type(value) is int:
        return float(take_int(value, where, -_LARGEST_INT, _LARGEST_INT))
    number: float = take(value, float, where)
    return number
