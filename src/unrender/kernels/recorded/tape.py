"""Writing down what a function does to a point.

For each tensor that depends on the point there is one of the same shape with the numbers of its
elements' values: what only moves elements (views, stacks) is done to these numbers too, and
what computes with elements adds an instruction for each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

OPERATIONS = (
    "add", "sub", "mul", "div", "minimum", "maximum", "atan2", "lt", "le", "eq", "where",
    "neg", "abs", "sqrt", "sin", "cos", "floor", "exp", "log", "tanh", "copy",
)  # fmt: skip
"""What a kernel can do. Truth is 1 and falsehood 0."""
NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
UNARY = {"neg", "abs", "sqrt", "sin", "cos", "floor", "exp", "log", "tanh"}
BINARY = {"mul", "minimum", "maximum", "atan2", "lt", "le", "eq"}
MOVES = {
    "alias", "clone", "detach", "lift_fresh", "view", "_unsafe_view", "_reshape_alias",
    "expand", "squeeze", "unsqueeze", "select", "slice", "t", "transpose", "permute", "unbind",
    "split", "split_with_sizes", "stack", "cat",
}  # fmt: skip
FACTORIES = {"full_like", "zeros_like", "ones_like", "new_full", "new_zeros", "new_ones"}
PLACE = (0.31, -0.57, 0.83)
MOST = 20_000
"""Instructions; longer functions are not worth a tape."""


class Unrecordable(Exception):  # noqa: N818 - it is caught here, as what it says
    """A function that does more than compute each point by itself."""


@dataclass(frozen=True)
class Tape:
    """Instructions on registers, each of which holds one value a point."""

    code: np.ndarray[Any, np.dtype[np.int32]]
    """[instructions, 5]: operation, register of its outcome, registers of its operands."""
    constants: np.ndarray[Any, np.dtype[np.float32]]
    """Of the first registers; x, y and z come after them."""
    num_registers: int
    result: int


def recorded(function: Callable[[Float[Tensor, "1 3"]], Float[Tensor, "1"]]) -> Tape:
    """What a function of points does. `Unrecordable` if it cannot be written down."""
    recorder = _Recorder()
    point = torch.tensor([PLACE])
    recorder.know(point, torch.tensor([[0, 1, 2]]))
    try:
        with torch.no_grad(), recorder:
            found = function(point)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        # One point may be too few for a function; asked at many it will say what is wrong.
        raise Unrecordable(str(error)) from error
    if found.shape != (1,):
        raise Unrecordable(f"gave {tuple(found.shape)} for one point")
    return recorder.tape(int(recorder.values(found)[0]))


class _Recorder(TorchDispatchMode):
    """Values are numbered: x, y and z are 0 to 2; constants are negative, −1 first."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, tuple[Tensor, Tensor]] = {}
        self.constants: dict[float, int] = {}
        self.code: list[tuple[int, ...]] = []
        self.earlier: dict[tuple[int, ...], int] = {}

    def know(self, tensor: Tensor, numbers: Tensor) -> None:
        # The tensor is kept, or another might get its identity.
        self.known[id(tensor)] = tensor, numbers

    def constant(self, value: float) -> int:
        if math.isnan(value):
            raise Unrecordable("a constant is no number")
        return self.constants.setdefault(float(value), -1 - len(self.constants))

    def values(self, operand: Any) -> Tensor:
        """The numbers of a tensor's elements, or of a constant's."""
        if not isinstance(operand, Tensor):
            return torch.tensor(self.constant(float(operand)))
        if id(operand) in self.known:
            return self.known[id(operand)][1]
        if operand.numel() > MOST:
            raise Unrecordable("a table")
        flat = [self.constant(value) for value in operand.double().flatten().tolist()]
        return torch.tensor(flat, dtype=torch.long).view(operand.shape)

    def emit(self, name: str, *operands: int) -> int:
        if len(self.code) >= MOST:
            raise Unrecordable("too long")
        line = (NUMBER[name], *operands)
        # What has been computed before is not computed again.
        if line not in self.earlier:
            self.code.append(line)
            self.earlier[line] = len(self.code) + 2
        return self.earlier[line]

    def each(self, name: str, *operands: Any) -> Tensor:
        """One instruction for each element, of operands that are broadcast."""
        of = torch.broadcast_tensors(*(self.values(operand) for operand in operands))
        rows = zip(*(numbers.flatten().tolist() for numbers in of), strict=True)
        return torch.tensor([self.emit(name, *row) for row in rows], dtype=torch.long).view(
            of[0].shape
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        operands = [part for arg in args for part in (arg if isinstance(arg, list) else [arg])]
        name = func.overloadpacket.__name__
        if name in FACTORIES or not any(id(part) in self.known for part in operands):
            return out
        if name in MOVES:
            moved = func(*(self._moved(arg) for arg in args), **kwargs)
        else:
            moved = self._computed(name, args, kwargs, out)
        pairs = (
            zip(out, moved, strict=True) if isinstance(out, list | tuple) else [(out, moved)]
        )
        for tensor, numbers in pairs:
            if numbers.shape != tensor.shape:
                raise Unrecordable(f"{name} of shape {tuple(tensor.shape)}")
            self.know(tensor, numbers)
        return out

    def _moved(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return self.values(argument)
        if isinstance(argument, list) and argument and isinstance(argument[0], Tensor):
            return [self.values(part) for part in argument]
        return argument

    def _computed(self, name: str, args: tuple[Any, ...], kwargs: Any, out: Tensor) -> Tensor:  # noqa: PLR0911, PLR0912 - a table
        """The numbers of an operation's outcome, by what it is made of."""
        if name in UNARY | BINARY or name == "where":
            return self.each(name, *args)
        if name in ("add", "sub", "rsub"):
            a, b = args[:2] if name != "rsub" else (args[1], args[0])
            if kwargs.get("alpha", 1) != 1:
                raise Unrecordable("alpha")
            return self.each("add" if name == "add" else "sub", a, b)
        if name == "div" and not kwargs.get("rounding_mode"):
            return self.each("div", *args)
        if name in ("gt", "ge"):
            return self.each({"gt": "lt", "ge": "le"}[name], args[1], args[0])
        if name in ("bitwise_and", "logical_and"):
            return self.each("minimum", *args)
        if name in ("bitwise_or", "logical_or"):
            return self.each("maximum", *args)
        if name in ("bitwise_not", "logical_not") and out.dtype == torch.bool:
            return self.each("eq", args[0], 0.0)
        if name in ("ne", "bitwise_xor", "logical_xor"):
            return self._of(self._of(self.each("eq", *args), "eq", 0.0), "copy")
        if name in ("clamp", "clamp_min", "clamp_max", "relu"):
            low, high = self._limits(name, args, kwargs)
            found = self.values(args[0])
            found = found if low is None else self._of(found, "maximum", low)
            return found if high is None else self._of(found, "minimum", high)
        if name == "round" and len(args) == 1:
            return self._of(self._of(self.values(args[0]), "add", 0.5), "floor")
        if name == "reciprocal":
            return self.each("div", 1.0, args[0])
        if name == "sigmoid":
            grown = self._of(self._of(self.each("neg", args[0]), "exp"), "add", 1.0)
            return self._many("div", torch.full_like(grown, self.constant(1.0)), grown)
        if name == "pow" and not isinstance(args[1], Tensor) and args[1] in (0.5, 2, 3):
            once = self.values(args[0])
            if args[1] == 0.5:
                return self._of(once, "sqrt")
            return reduce(lambda a, b: self._many("mul", a, b), [once] * int(args[1]))
        if name == "remainder":
            whole = self._of(self.each("div", args[0], args[1]), "floor")
            times = self._many("mul", whole, self.values(args[1]))
            return self._many("sub", self.values(args[0]), times)
        if name in ("addcmul", "lerp"):
            a, b, c = (self.values(arg) for arg in args[:3])
            if name == "addcmul":
                return self._many("add", a, self._many("mul", b, c))
            return self._many("add", a, self._many("mul", c, self._many("sub", b, a)))
        if name == "_to_copy" and out.dtype.is_floating_point:
            return self.values(args[0])
        if name in ("mm", "mv"):
            a, b = (self.values(arg) for arg in args)
            columns = b if b.ndim == 2 else b[:, None]
            terms = [self._many("mul", a[:, k, None], columns[k]) for k in range(a.shape[1])]
            return reduce(lambda x, y: self._many("add", x, y), terms).view(out.shape)
        if name in ("sum", "amax", "amin", "linalg_vector_norm"):
            return self._reduced(name, args, kwargs).view(out.shape)
        if name == "nan_to_num":
            wrong = self._of(self.each("eq", args[0], args[0]), "eq", 1.0)
            return self._many("where", wrong, self.values(args[0]), self.values(0.0))
        raise Unrecordable(name)

    def _many(self, name: str, *numbers: Tensor) -> Tensor:
        of = torch.broadcast_tensors(*numbers)
        rows = zip(*(part.flatten().tolist() for part in of), strict=True)
        found = [self.emit(name, *row) for row in rows]
        return torch.tensor(found, dtype=torch.long).view(of[0].shape)

    def _of(self, numbers: Tensor, name: str, *more: Any) -> Tensor:
        return self._many(name, numbers, *(self.values(operand) for operand in more))

    def _limits(self, name: str, args: tuple[Any, ...], kwargs: Any) -> tuple[Any, Any]:
        if name == "relu":
            return 0.0, None
        if name == "clamp_min":
            return args[1], None
        if name == "clamp_max":
            return None, args[1]
        low = args[1] if len(args) > 1 else kwargs.get("min")
        return low, args[2] if len(args) > 2 else kwargs.get("max")

    def _reduced(self, name: str, args: tuple[Any, ...], kwargs: Any) -> Tensor:
        """Along one axis; the check at many points tells if it is that of the points."""
        numbers = self.values(args[0])
        norm = name == "linalg_vector_norm"
        axes = args[2:3] if norm else args[1:2]
        order = args[1] if norm and len(args) > 1 else 2
        if len(axes) != 1 or len(axes[0]) != 1 or order != 2:
            raise Unrecordable(name)
        parts: Sequence[Tensor] = numbers.unbind(axes[0][0])
        if norm:
            parts = [self._many("mul", part, part) for part in parts]
        how = {"sum": "add", "amax": "maximum", "amin": "minimum"}.get(name, "add")
        whole = reduce(lambda a, b: self._many(how, a, b), parts)
        return self._of(whole, "sqrt") if norm else whole

    def tape(self, result: int) -> Tape:
        """The instructions that the result needs, on as few registers as can be."""
        needed, code = {result}, []
        for at in range(len(self.code) - 1, -1, -1):
            if at + 3 in needed:
                needed.update(self.code[at][1:])
                code.append((at + 3, *self.code[at]))
        code.reverse()
        last = {operand: at for at, (_, _, *of) in enumerate(code) for operand in of}
        count = len(self.constants)
        place = {number: -1 - number for number in self.constants.values()}
        place |= {axis: count + axis for axis in range(3)}
        free: list[int] = []
        total = count + 3
        rows: list[tuple[int, ...]] = []
        for at, (number, operation, *of) in enumerate(code):
            registers = [place[operand] for operand in of]
            # Operands that are not asked again leave their place to the outcome.
            free += {place[o] for o in of if o > 2 and last[o] == at and o != result}
            if not free:
                free.append(total)
                total += 1
            place[number] = free.pop()
            rows.append((operation, place[number], *registers, *[registers[0]] * (3 - len(of))))
        constants = np.array([*self.constants], np.float32)
        return Tape(np.array(rows, np.int32).reshape(-1, 5), constants, total, place[result])
