"""Runs the few pickle instructions that saved tensors need, and nothing else.

Python's own unpickler calls whatever a file names, and lets a five-byte instruction allocate gigabytes. Here a global
is a name that the caller allows, a call is one that the caller implements, and memory grows with the file only.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from rushlight.runtime.errors import FormatError

MAX_INSTRUCTIONS = 1 << 24

Call = Callable[..., Any]


@dataclass(frozen=True)
class Global:
    """An allowed global; `call` is what calling it does, None where it is only a name."""

    name: str
    call: Call | None = None


class _Mark:
    """What MARK leaves on the stack."""


_MARK = _Mark()
_NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"})
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_IGNORED = frozenset({"PROTO", "FRAME"})


def run_pickle(file: BinaryIO, allowed: Mapping[str, Global], load_persistent: Callable[[Any], Any]) -> Any:
    """The value of the pickle that starts at the file's position, which is left behind its end.

    `allowed` maps ``"module name"`` to what may be named; `load_persistent` turns persistent ids into values. Raises
    FormatError for every other global, for every other instruction, and for damaged data.
    """
    machine = _Machine(allowed, load_persistent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of escapes in the strings of damaged files
            for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if count > MAX_INSTRUCTIONS:
                    raise FormatError(f"pickle of more than {MAX_INSTRUCTIONS} instructions")
                if opcode.name == "STOP":
                    return machine.pop()
                machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, ValueError, EOFError) as error:
        raise FormatError(f"damaged pickle: {str(error)[:120]}") from None
    raise FormatError("damaged pickle: it has no end")


class _Machine:
    def __init__(self, allowed: Mapping[str, Global], load_persistent: Callable[[Any], Any]) -> None:
        self._allowed = allowed
        self._load_persistent = load_persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("unexpected mark")
        return value

    def step(self, name: str, argument: Any) -> None:
        if name in _IGNORED:
            return
        if name in _NUMBERS or name in _TEXTS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        match name:
            case "MARK":
                self._stack.append(_MARK)
            case "EMPTY_DICT":
                self._stack.append({})
            case "EMPTY_LIST":
                self._stack.append([])
            case "TUPLE":
                self._stack.append(tuple(self._pop_marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self.pop() for _ in range(int(name[-1]))]
                self._stack.append(tuple(reversed(items)))
            case "APPEND":
                value = self.pop()
                self._top(list).append(value)
            case "APPENDS":
                items = self._pop_marked()
                self._top(list).extend(items)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self._top(dict)[key] = value
            case "SETITEMS":
                items = self._pop_marked()
                if len(items) % 2:
                    raise ValueError("a key without a value")
                self._top(dict).update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                self._stack.append(self._global(argument))
            case "STACK_GLOBAL":
                last, module = self.pop(), self.pop()
                self._stack.append(self._global(f"{module} {last}"))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                self._stack.append(_call(function, arguments))
            case "BINPERSID":
                self._stack.append(self._load_persistent(self.pop()))
            case "BUILD":
                # The attributes of a container (a state_dict's _metadata) say nothing about tensors.
                self.pop()
                self._top(dict)
            case _:
                raise FormatError(f"pickle instruction {name} is not allowed")

    def _global(self, name: str) -> Global:
        if name not in self._allowed:
            raise FormatError(f"global {name.replace(' ', '.')[:120]} is not allowed in a file of tensors")
        return self._allowed[name]

    def _top(self, kind: type) -> Any:
        value = self._stack[-1]
        if type(value) is not kind:
            raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
        return value

    def _pop_marked(self) -> list[Any]:
        items: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        items.reverse()
        return items


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, Global) or function.call is None or type(arguments) is not tuple:
        shown = function.name if isinstance(function, Global) else type(function).__name__
        raise FormatError(f"calling {shown} is not allowed in a file of tensors")
    return function.call(*arguments)
