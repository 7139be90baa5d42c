"""Reading a pickle without executing it: PathVQA's official questions are pickles, and a pickle may hold any program.

Python's own unpickler calls what the file names. This reader only knows the operations that build lists, tuples,
dictionaries, texts and numbers, and stops at any other, before anything could have been called.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medvista.data.benchmark_files import existing
from medvista.errors import UserError

_VALUES = frozenset(  # operations whose argument is the value
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    }
)
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_NEW: Mapping[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_PUT, _GET = frozenset({"PUT", "BINPUT", "LONG_BINPUT"}), frozenset({"GET", "BINGET", "LONG_BINGET"})
_SKIPPED = frozenset({"PROTO", "FRAME"})
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_pickled_values(path: Path) -> Any:
    """The lists, dictionaries, texts and numbers of a pickle file.

    Raises:
        UserError: the file is missing, damaged, or holds anything else, such as a call of a function.
    """
    content = existing(path).read_bytes()
    builder = _Builder()
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
            if opcode.name == "STOP":
                return builder.result()
            builder.apply(opcode.name, argument)
    except _ForbiddenError as error:
        raise UserError(
            f"{path} is a pickle that does more than hold values (operation {error}); it was not executed: do not "
            "trust it, and place the official file"
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is not an undamaged pickle ({error}); place the official file again") from None
    raise UserError(f"{path} is not an undamaged pickle (it has no end); place the official file again")


class _ForbiddenError(Exception):
    """An operation that could do more than build a value."""


class _Builder:
    """The stack machine of the pickle format, for values only."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack at each open mark
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        """What the finished program left."""
        return self._stack.pop()

    def apply(self, name: str, argument: Any) -> None:
        """One operation."""
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _NEW:
            self._stack.append(_NEW[name]())
        elif name in _TUPLES:
            self._stack.append(tuple(self._take(len(self._stack) - _TUPLES[name])))
        elif name in _PUT:
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in _GET:
            self._stack.append(self._memo[argument])
        elif name == "MARK":
            self._marks.append(len(self._stack))
        elif name not in _SKIPPED:
            self._collect(name)

    def _collect(self, name: str) -> None:
        """The operations that put what is on the stack into a container."""
        if name in ("LIST", "TUPLE"):
            items = self._since_mark()
            self._stack.append(items if name == "LIST" else tuple(items))
        elif name == "DICT":
            self._stack.append(_pairs(self._since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self._since_mark() if name == "APPENDS" else [self._stack.pop()]
            self._stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._since_mark() if name == "SETITEMS" else self._take(len(self._stack) - 2)
            self._stack[-1].update(_pairs(items))
        else:
            raise _ForbiddenError(name)

    def _since_mark(self) -> list[Any]:
        return self._take(self._marks.pop())

    def _take(self, height: int) -> list[Any]:
        """What lies on the stack above a height, which is what remains of it."""
        if not 0 <= height <= len(self._stack):
            raise IndexError("its stack is too short")
        items = self._stack[height:]
        del self._stack[height:]
        return items


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))
