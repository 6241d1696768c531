"""What a pickle of tensors says, read as data: nothing in it is imported, made or called.

Checkpoints of PyTorch Lightning are pickles. A pickle is a program for a small machine with a
stack, which may ask for any function of any module to be called. `read_pickle` follows such a
program with a machine of its own that has containers, numbers and texts, and descriptions of
tensors instead of tensors. What else is named or called becomes an `Opaque`, of which only the
name is known. Programs that name code of Python's standard library are refused, as are all that
this machine cannot follow.
"""

import pickletools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, cast, runtime_checkable

import torch

from unrender.errors import InputError, one_line, plain
from unrender.files import MAX_WHOLE

MAX_BYTES = 64 * 2**20
"""Maximum size of a pickle, without the numbers of its tensors."""
MAX_INSTRUCTIONS = 2_000_000
MAX_DIMENSIONS = 8
REMEDY = "take the checkpoint that its authors published, or one in .safetensors"

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""What torch's classes of storages hold."""
_DESCRIBING = """
    collections copyreg copy_reg typing pathlib datetime enum argparse decimal
    fractions uuid functools abc dataclasses numbers _codecs re random zoneinfo logging
"""
DESCRIBING = frozenset(_DESCRIBING.split())
"""Modules of the standard library whose classes describe how a model was trained."""
_DESCRIBING_BUILTINS = """
    set frozenset dict list tuple int float complex str bytes bytearray bool slice
    range object type getattr xrange unicode long
"""
DESCRIBING_BUILTINS = frozenset(_DESCRIBING_BUILTINS.split())


@runtime_checkable
class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, eq=False, slots=True)
class Opaque:
    """Something that is named in a pickle, and neither imported nor made."""

    name: str
    """Module and name, of what it is or of what was to be called to make it."""
    made: bool = False
    """Whether it is the result of a call that was not made."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A flat array of numbers, which are elsewhere in the file."""

    dtype: torch.dtype
    key: str
    size: int
    """Numbers that it is said to hold."""


@dataclass(frozen=True, eq=False, slots=True)
class StoredTensor:
    """A tensor as a window on a storage, checked to lie inside it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_pickle(
    label: str, stream: Readable, storages: "dict[str, Storage] | None" = None
) -> Any:
    """The next pickle of a stream, whose end the stream is left at.

    Dictionaries keep keys that are texts or whole numbers. `storages` gets all that are named,
    by their keys. InputError, which begins with `label`, if the pickle asks for code, is
    damaged or is too large.
    """
    machine = _Machine(label, {} if storages is None else storages)
    try:
        return machine.run(Limited(label, stream))
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{label}: is a damaged pickle ({one_line(error)[:80]}); {REMEDY}"
        ) from error


class Limited:
    """A stream that gives no more bytes than a pickle may have, however many are asked for."""

    def __init__(self, label: str, stream: Readable):
        self.label, self.stream, self.left = label, stream, MAX_BYTES

    def read(self, size: int) -> bytes:
        return self._counted(size, self.stream.read)

    def readline(self, size: int = -1) -> bytes:
        return self._counted(0, lambda _: self.stream.readline(self.left + 1))

    def _counted(self, size: int, read: Callable[[int], bytes]) -> bytes:
        found = read(size) if size <= self.left else b""
        self.left -= max(size, len(found))
        if self.left < 0:
            raise InputError(f"{self.label}: is a pickle over {MAX_BYTES:,} bytes; {REMEDY}")
        return found


class _Machine:
    """The stack, the memo, and what each instruction does to them."""

    def __init__(self, label: str, storages: dict[str, Storage]):
        self.label, self.storages = label, storages
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """The stacks below each mark."""
        self.memo: dict[int, Any] = {}

    def run(self, stream: Readable) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(Any, stream))):
            if count > MAX_INSTRUCTIONS:
                self.refuse(f"has more than {MAX_INSTRUCTIONS:,} instructions")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in VALUES:
                self.stack.append(argument)
                continue
            step = STEPS.get(opcode.name)
            if step is None:
                self.refuse(f"has the instruction {opcode.name}, which no tensors need")
            step(self, argument)
        self.refuse("has no end")

    def refuse(self, what: str) -> NoReturn:
        raise InputError(f"{self.label}: {what}; {REMEDY}")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def to_mark(self) -> list[Any]:
        """Take all above the last mark."""
        found, self.stack = self.stack, self.below.pop()
        return found

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def take(self, count: int) -> tuple[Any, ...]:
        """Take the last values, in the order in which they were put."""
        if len(self.stack) < count:
            raise ValueError("its stack is empty")
        found = tuple(self.stack[-count:])
        del self.stack[-count:]
        return found

    def remember(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def set_items(self, pairs: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(_named_values(pairs[0::2], pairs[1::2]))

    def name(self, module: Any, name: Any) -> None:
        """A class or function by its name, which is all that is known of it."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a name is no text")
        text = plain(f"{module}.{name}", 80)
        top = module.split(".")[0]
        if top in ("builtins", "__builtin__"):
            harmless = name in DESCRIBING_BUILTINS
        else:
            harmless = top in DESCRIBING or top not in sys.stdlib_module_names
        if not harmless:
            self.refuse(f"asks for {text} to be run, which is not done")
        self.push(Opaque(text))

    def name_from_stack(self) -> None:
        self.name(*self.take(2))

    def call(self, function: Any, arguments: Any) -> None:
        """What a known call of torch's describes; of any other call only the name."""
        name = function.name if isinstance(function, Opaque) and not function.made else ""
        known = CALLS.get(name)
        if known is None or not isinstance(arguments, tuple):
            self.push(Opaque(name or "a value that is called", True))
            return
        try:
            self.push(known(*arguments))
        except (TypeError, ValueError) as error:
            self.refuse(f"holds a damaged tensor ({one_line(error)[:100]})")

    def storage(self, described: Any) -> None:
        """A storage, from its persistent identity."""
        match described:
            case ("storage", Opaque() as kind, str(key), str(), int(size), *rest):
                dtype = DTYPES.get(kind.name.split(".")[-1])
                whole = 0 <= size <= MAX_WHOLE and rest in ([], [None])
                if kind.name.startswith("torch.") and dtype is not None and whole:
                    self.storages[key] = Storage(dtype, key, size)
                    self.push(self.storages[key])
                    return
            case _:
                pass
        self.refuse("holds something else than tensors outside of its pickle")


def _named_values(keys: list[Any], values: list[Any]) -> dict[str | int, Any]:
    # Nothing else is hashed: a tuple of tuples of … would overflow the stack of C.
    return {k: v for k, v in zip(keys, values, strict=True) if type(k) in (str, int)}


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise ValueError("it has no storage")
    if not (isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise ValueError("its shape is no tuple")
    if len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"it has {len(shape)} dimensions")
    numbers = (offset, *shape, *stride)
    if not all(type(each) is int and 0 <= each <= MAX_WHOLE for each in numbers):
        raise ValueError("its shape, stride or offset is no whole number")
    count = 1
    for side in shape:
        count *= side
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    if count > storage.size or (count and last >= storage.size):
        raise ValueError("its numbers lie outside its storage")
    return StoredTensor(storage, offset, shape, stride)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _dictionary() -> dict[str | int, Any]:
    return {}  # Its pairs follow one by one.


def _size(sides: Any) -> tuple[Any, ...]:
    if not isinstance(sides, tuple):
        raise ValueError("its shape is no tuple")
    return sides


CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "collections.OrderedDict": _dictionary,
}
"""Calls that describe tensors and their names: what they mean, without calling them."""

_VALUES = """
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING
    SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES
    SHORT_BINBYTES BINBYTES8 BYTEARRAY8
"""
VALUES = frozenset(_VALUES.split())
"""Instructions that put their argument on the stack."""


def _drop_built(machine: _Machine) -> None:
    # The state of an object that was not made, or of a dictionary of tensors: its metadata.
    machine.take(1)


def _make(machine: _Machine, taken: int) -> None:
    """An object of a class, with its arguments: of neither more than the name is kept."""
    kind = machine.take(taken)[0]
    machine.call(kind if _is(kind, "collections.OrderedDict") else _name_of(kind), ())


def _is(value: Any, name: str) -> bool:
    return isinstance(value, Opaque) and value.name == name


def _name_of(value: Any) -> Opaque:
    return Opaque(value.name if isinstance(value, Opaque) else "a value that is called")


def _instance(machine: _Machine, argument: str) -> None:
    machine.to_mark()
    machine.name(*argument.split(" ", 1))
    _make(machine, 1)


def _object(machine: _Machine) -> None:
    kind = machine.to_mark()[0]
    machine.push(kind)
    _make(machine, 1)


def _many(machine: _Machine) -> None:
    values = machine.to_mark()
    machine.extend(values)


def _items(machine: _Machine) -> None:
    values = machine.to_mark()
    machine.set_items(values)


def _new_dictionary(machine: _Machine) -> None:
    values = machine.to_mark()
    machine.push(_named_values(values[0::2], values[1::2]))


def _dropped(machine: _Machine) -> None:
    machine.to_mark()


def _frozen_set(machine: _Machine) -> None:
    machine.to_mark()
    machine.push(Opaque("builtins.frozenset", True))


Step = Callable[[_Machine, Any], Any]
STEPS: dict[str, Step] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "MARK": lambda m, a: m.mark(),
    "POP": lambda m, a: m.take(1) if m.stack else m.to_mark(),
    "POP_MARK": lambda m, a: _dropped(m),
    "DUP": lambda m, a: m.push(m.stack[-1]),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "EMPTY_SET": lambda m, a: m.push(Opaque("builtins.set", True)),
    "LIST": lambda m, a: m.push(m.to_mark()),
    "TUPLE": lambda m, a: m.push(tuple(m.to_mark())),
    "TUPLE1": lambda m, a: m.push(m.take(1)),
    "TUPLE2": lambda m, a: m.push(m.take(2)),
    "TUPLE3": lambda m, a: m.push(m.take(3)),
    "DICT": lambda m, a: _new_dictionary(m),
    "FROZENSET": lambda m, a: _frozen_set(m),
    "APPEND": lambda m, a: m.extend(list(m.take(1))),
    "APPENDS": lambda m, a: _many(m),
    "SETITEM": lambda m, a: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m, a: _items(m),
    "ADDITEMS": lambda m, a: _dropped(m),
    "MEMOIZE": lambda m, a: m.remember(None),
    "PUT": lambda m, a: m.remember(a),
    "BINPUT": lambda m, a: m.remember(a),
    "LONG_BINPUT": lambda m, a: m.remember(a),
    "GET": lambda m, a: m.push(m.memo[a]),
    "BINGET": lambda m, a: m.push(m.memo[a]),
    "LONG_BINGET": lambda m, a: m.push(m.memo[a]),
    "GLOBAL": lambda m, a: m.name(*a.split(" ", 1)),
    "STACK_GLOBAL": lambda m, a: m.name_from_stack(),
    "REDUCE": lambda m, a: m.call(*m.take(2)),
    "BUILD": lambda m, a: _drop_built(m),
    "NEWOBJ": lambda m, a: _make(m, 2),
    "NEWOBJ_EX": lambda m, a: _make(m, 3),
    "INST": _instance,
    "OBJ": lambda m, a: _object(m),
    "BINPERSID": lambda m, a: m.storage(m.take(1)[0]),
}
"""What each instruction does. EXT1, EXT2, EXT4, PERSID and buffers are not among them."""
