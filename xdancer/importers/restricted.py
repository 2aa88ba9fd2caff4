"""Pickles of plain values and numpy arrays, read without running anything that they name.

Python's own unpickler imports and calls what the file asks for. This reader knows the instructions that dictionaries, lists, tuples, texts,
numbers and numpy arrays are written with (protocols 2 to 5; numpy 1 and 2), follows them itself and refuses every other instruction and
every other name. Arrays are views of the file's bytes whose sizes were compared first, so a file cannot ask for more memory than it has.
"""

import io
import math
import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdancer.errors import XDancerError

MOST_INSTRUCTIONS = 5_000_000
"""Of one file; a frame of an array of dictionaries takes about 110."""
DEEPEST = 32
"""Containers inside containers; files of poses nest six deep."""
MAGIC = b"\x80"
"""First byte of every pickle of protocol 2 or later."""

_VALUES = frozenset((
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_KEYS = (str, bytes, int, float, type(None))
"""Types of dictionary keys: hashing a nested key would recurse without limit."""
_CODE = re.compile(r"[biufcUSO]\d{1,9}")
"""Element types without fields: booleans, numbers, texts, objects."""


class _Refused(Exception):
    """Why the file is not read."""


@dataclass(slots=True)
class _Cell:
    """A value on the stack. The memo shares the cell, so that a value which is filled in later is filled in everywhere."""

    value: Any
    depth: int = 0


@dataclass(frozen=True, slots=True)
class _Global:
    """An admitted name; it is never the thing itself, so that no instruction can change anything outside of the file."""

    name: str
    make: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _EmptyArray:
    """An array before its content arrives."""


def read_pickle(data: bytes, *, where: str) -> Any:
    """The value of a pickle: None, booleans, numbers, texts, bytes, lists, tuples, dictionaries and numpy arrays of them.

    Arrays are read-only, those of objects hold such values.

    Args:
        data: the pickle; bytes after its end are passed over.
        where: the file, for messages.

    Raises:
        XDancerError: it names anything else (the message says what), or it is damaged, nested too deeply or too long.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of odd escapes in names, which are refused below
            return _Machine().run(data)
    except _Refused as error:
        raise XDancerError(f"{where}: {error}") from None
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        reason = (str(error).splitlines() or [""])[0][:100]
        raise XDancerError(f"{where}: a damaged pickle ({type(error).__name__}: {reason}). Write the file again.") from error


class _Machine:
    """The stack, the memo and one method per group of instructions."""

    def __init__(self) -> None:
        self.stack: list[_Cell] = []
        self.marks: list[int] = []
        self.memo: dict[int, _Cell] = {}
        self.copied = 0
        """Bytes and elements that were made from others; what an honest file makes, it holds once."""

    def run(self, data: bytes) -> Any:
        """Follow the instructions up to STOP."""
        for number, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            if number >= MOST_INSTRUCTIONS:
                raise _Refused(f"more than {MOST_INSTRUCTIONS:,} instructions in a pickle: no file of poses. Cut the clip into shorter ones.")
            name = opcode.name
            if name == "STOP":
                return self.stack.pop().value
            if name in _VALUES:
                self.stack.append(_Cell(argument))
            elif name in _CONSTANTS:
                self.stack.append(_Cell(_CONSTANTS[name]))
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise _Refused(_forbidden(str(argument).replace(" ", ".")) if name == "INST" else f"a pickle with {name}: {_ADVICE}")
            if self.copied > len(data):
                raise _Refused("a pickle whose content unfolds to more than the file: no file of poses.")
        raise ValueError("no end")

    def since_mark(self) -> list[_Cell]:
        mark = self.marks.pop()
        cells = self.stack[mark:]
        del self.stack[mark:]
        return cells

    def nest(self, container: _Cell, cells: list[_Cell]) -> None:
        """Note how deep a container has become."""
        container.depth = max([container.depth, *(cell.depth + 1 for cell in cells)])
        if container.depth > DEEPEST:
            raise _Refused(f"a pickle nested deeper than {DEEPEST}: no file of poses. Write the poses as plain arrays.")

    def put(self, argument: int | None) -> None:
        self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]

    def get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def tuple_of(self, cells: list[_Cell]) -> None:
        made = _Cell(tuple(cell.value for cell in cells))
        self.nest(made, cells)
        self.stack.append(made)

    def last(self, count: int) -> list[_Cell]:
        cells = self.stack[-count:]
        if len(cells) < count:
            raise IndexError("the stack is empty")
        del self.stack[-count:]
        return cells

    def append(self, cells: list[_Cell]) -> None:
        target = self.stack[-1]
        if type(target.value) is not list:
            raise _Refused(f"a pickle that appends to something else than a list: {_ADVICE}")
        self.nest(target, cells)
        target.value.extend(cell.value for cell in cells)

    def set_items(self, cells: list[_Cell]) -> None:
        target = self.stack[-1]
        if type(target.value) is not dict:
            raise _Refused(f"a pickle that sets items of something else than a dictionary: {_ADVICE}")
        self.nest(target, cells)
        for key, value in zip(cells[::2], cells[1::2], strict=True):
            if not isinstance(key.value, _KEYS):
                raise _Refused(f"a pickle with a dictionary key of type {type(key.value).__name__}: {_ADVICE}")
            target.value[key.value] = value.value

    def find(self, module: Any, name: Any) -> None:
        """Push an admitted name."""
        make = _GLOBALS.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if make is None:
            raise _Refused(_forbidden(".".join(part if isinstance(part, str) else type(part).__name__ for part in (module, name))))
        self.stack.append(_Cell(_Global(f"{module}.{name}", make)))

    def call(self) -> None:
        function, arguments = (cell.value for cell in self.last(2))
        if not isinstance(function, _Global) or type(arguments) is not tuple:
            raise _Refused(f"a pickle that calls a value: {_ADVICE}")
        made = function.make(*arguments)
        self.copied += len(made) if isinstance(made, bytes) else 0
        self.stack.append(_Cell(made))

    def build(self) -> None:
        """Give an element type its byte order, or an array its content."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target.value, np.dtype):
            _, order, *rest = state.value
            if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
                raise _Refused("a pickle with an array of records; plain numbers are needed.")
            target.value = target.value.newbyteorder(order)
        elif isinstance(target.value, _EmptyArray):
            _, shape, dtype, fortran, content = state.value
            self.nest(target, [state])
            self.copied += len(content) if isinstance(content, list) else 0
            target.value = _array(content, dtype, shape, "F" if fortran else "C")
        else:
            raise _Refused(f"a pickle that sets the state of a {type(target.value).__name__}: {_ADVICE}")


_ADVICE = "only plain values and numpy arrays are read, since a pickle may run any program. Write the poses as .npy or JSON."


def _forbidden(name: str) -> str:
    return f"the pickle asks for {name[:100]!a}: {_ADVICE}"


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.mark(),
    "EMPTY_LIST": lambda machine, _: machine.stack.append(_Cell([])),
    "EMPTY_DICT": lambda machine, _: machine.stack.append(_Cell({})),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(_Cell(())),
    "TUPLE": lambda machine, _: machine.tuple_of(machine.since_mark()),
    "TUPLE1": lambda machine, _: machine.tuple_of(machine.last(1)),
    "TUPLE2": lambda machine, _: machine.tuple_of(machine.last(2)),
    "TUPLE3": lambda machine, _: machine.tuple_of(machine.last(3)),
    "APPEND": lambda machine, _: machine.append(machine.last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": lambda machine, argument: machine.find(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.find(*(cell.value for cell in machine.last(2))),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}


def _no_call(*_: Any) -> Any:
    raise _Refused("a pickle that makes an array of a size of its own: only arrays with their content are read.")


def _reconstruct(kind: Any, *_: Any) -> _EmptyArray:
    if not isinstance(kind, _Global) or kind.name != "numpy.ndarray":
        raise _Refused(f"a pickle with an array of another kind than numpy.ndarray: {_ADVICE}")
    return _EmptyArray()


def _dtype(code: Any, *_: Any) -> np.dtype[Any]:
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        found = f"{code[:40]!a}" if isinstance(code, str) else type(code).__name__
        raise _Refused(f"a pickle with an array of {found}; numbers, texts and objects are read.")
    return np.dtype(code)


def _array(content: Any, dtype: Any, shape: Any, order: str) -> NDArray[Any]:
    """An array over the bytes or the list that the file holds for it."""
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes | bytearray | list) or isinstance(content, list) != (dtype.kind == "O"):
        raise ValueError("an array without content of its type")
    if type(shape) is not tuple or len(shape) > 32 or any(type(length) is not int or not 0 <= length < 2**48 for length in shape):
        raise ValueError("an array without a possible shape")
    present = len(content) if isinstance(content, list) else len(content) / max(dtype.itemsize, 1)
    if math.prod(shape) != present or dtype.itemsize == 0:
        raise _Refused(f"a pickle with an array of shape {str(shape)[:80]} and content for {present:g} elements. Write the file again.")
    if isinstance(content, list):
        objects = np.empty(len(content), dtype=object)
        for number, value in enumerate(content):
            objects[number] = value
        return objects.reshape(shape, order="F" if order == "F" else "C")
    flat = np.frombuffer(content, dtype)
    flat.flags.writeable = False
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(content, bytes):
        raise ValueError("a number without content")
    return _array(content, dtype, (1,), "C")[0]


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes as protocol 2 writes them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(_forbidden("_codecs.encode"))
    return text.encode("latin1")


_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _no_call,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # protocol 2's empty bytes
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array for core in ("core", "_core")},
}
"""Names that numpy's arrays, element types and scalars are written with → what is made here in their place."""
