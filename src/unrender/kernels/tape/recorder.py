"""Recording of what a function does to a point.

For each tensor that depends on the point, the recorder keeps a tensor of the same shape with
the indices of its elements' values. Operations that only rearrange elements (views, stacks) are
applied to these indices too, and operations that compute add one instruction per element.
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
"""Operations of the kernel. Booleans are 1 and 0."""
NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
UNARY = {"neg", "abs", "sqrt", "sin", "cos", "floor", "exp", "log", "tanh"}
BINARY = {"mul", "minimum", "maximum", "atan2", "lt", "le", "eq"}
REARRANGEMENTS = {
    "alias", "clone", "detach", "lift_fresh", "view", "_unsafe_view", "_reshape_alias",
    "expand", "squeeze", "unsqueeze", "select", "slice", "t", "transpose", "permute", "unbind",
    "split", "split_with_sizes", "stack", "cat",
}  # fmt: skip
FACTORIES = {"full_like", "zeros_like", "ones_like", "new_full", "new_zeros", "new_ones"}
EXAMPLE_POINT = (0.31, -0.57, 0.83)
MAX_INSTRUCTIONS = 20_000
"""Longer functions are not recorded."""


class UnrecordableError(Exception):
    """The function does more than compute each point independently."""


@dataclass(frozen=True)
class Tape:
    """Instructions on registers, each of which holds one value per point."""

    code: np.ndarray[Any, np.dtype[np.int32]]
    """[instructions, 5]: operation, output register, operand registers."""
    constants: np.ndarray[Any, np.dtype[np.float32]]
    """Values of the first registers; x, y and z follow them."""
    num_registers: int
    result: int
    """Register of the function's value."""


def record_tape(function: Callable[[Float[Tensor, "1 3"]], Float[Tensor, "1"]]) -> Tape:
    """Record a function of points. UnrecordableError if that is not possible."""
    recorder = _Recorder()
    point = torch.tensor([EXAMPLE_POINT])
    recorder.register(point, torch.tensor([[0, 1, 2]]))
    try:
        with torch.no_grad(), recorder:
            found = function(point)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        # One point may be too few for a function; called with many it reports its own error.
        raise UnrecordableError(str(error)) from error
    if found.shape != (1,):
        raise UnrecordableError(f"returned shape {tuple(found.shape)} for one point")
    return recorder.tape(int(recorder.values(found)[0]))


class _Recorder(TorchDispatchMode):
    """Values are indexed: x, y and z are 0 to 2; constants are negative, starting at −1."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, tuple[Tensor, Tensor]] = {}
        self.constants: dict[float, int] = {}
        self.code: list[tuple[int, ...]] = []
        self.earlier: dict[tuple[int, ...], int] = {}

    def register(self, tensor: Tensor, numbers: Tensor) -> None:
        # A reference to the tensor is kept, so that its id is not reused.
        self.known[id(tensor)] = tensor, numbers

    def constant(self, value: float) -> int:
        if math.isnan(value):
            raise UnrecordableError("a constant is NaN")
        return self.constants.setdefault(float(value), -1 - len(self.constants))

    def values(self, operand: Any) -> Tensor:
        """Value indices of a tensor's elements, or of a constant."""
        if not isinstance(operand, Tensor):
            return torch.tensor(self.constant(float(operand)))
        if id(operand) in self.known:
            return self.known[id(operand)][1]
        if operand.numel() > MAX_INSTRUCTIONS:
            raise UnrecordableError("a constant tensor is too large")
        flat = [self.constant(value) for value in operand.double().flatten().tolist()]
        return torch.tensor(flat, dtype=torch.long).view(operand.shape)

    def emit(self, name: str, *operands: int) -> int:
        if len(self.code) >= MAX_INSTRUCTIONS:
            raise UnrecordableError("too many instructions")
        line = (NUMBER[name], *operands)
        # Common subexpressions are computed once.
        if line not in self.earlier:
            self.code.append(line)
            self.earlier[line] = len(self.code) + 2
        return self.earlier[line]

    def elementwise(self, name: str, *operands: Any) -> Tensor:
        """Emit one instruction per element of the broadcast operands."""
        inputs = torch.broadcast_tensors(*(self.values(operand) for operand in operands))
        rows = zip(*(numbers.flatten().tolist() for numbers in inputs), strict=True)
        return torch.tensor([self.emit(name, *row) for row in rows], dtype=torch.long).view(
            inputs[0].shape
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
        if name in REARRANGEMENTS:
            indices = func(*(self._rearranged(arg) for arg in args), **kwargs)
        else:
            indices = self._compute(name, args, kwargs, out)
        pairs = (
            zip(out, indices, strict=True)
            if isinstance(out, list | tuple)
            else [(out, indices)]
        )
        for tensor, numbers in pairs:
            if numbers.shape != tensor.shape:
                raise UnrecordableError(f"{name} of shape {tuple(tensor.shape)}")
            self.register(tensor, numbers)
        return out

    def _rearranged(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return self.values(argument)
        if isinstance(argument, list) and argument and isinstance(argument[0], Tensor):
            return [self.values(part) for part in argument]
        return argument

    def _compute(self, name: str, args: tuple[Any, ...], kwargs: Any, out: Tensor) -> Tensor:  # noqa: PLR0911, PLR0912 - a table
        """Value indices of an operation's output, decomposed into kernel operations."""
        if name in UNARY | BINARY or name == "where":
            return self.elementwise(name, *args)
        if name in ("add", "sub", "rsub"):
            a, b = args[:2] if name != "rsub" else (args[1], args[0])
            if kwargs.get("alpha", 1) != 1:
                raise UnrecordableError(f"{name} with alpha")
            return self.elementwise("add" if name == "add" else "sub", a, b)
        if name == "div" and not kwargs.get("rounding_mode"):
            return self.elementwise("div", *args)
        if name in ("gt", "ge"):
            return self.elementwise({"gt": "lt", "ge": "le"}[name], args[1], args[0])
        if name in ("bitwise_and", "logical_and"):
            return self.elementwise("minimum", *args)
        if name in ("bitwise_or", "logical_or"):
            return self.elementwise("maximum", *args)
        if name in ("bitwise_not", "logical_not") and out.dtype == torch.bool:
            return self.elementwise("eq", args[0], 0.0)
        if name in ("ne", "bitwise_xor", "logical_xor"):
            return self._apply(self._apply(self.elementwise("eq", *args), "eq", 0.0), "copy")
        if name in ("clamp", "clamp_min", "clamp_max", "relu"):
            low, high = self._clamp_limits(name, args, kwargs)
            found = self.values(args[0])
            found = found if low is None else self._apply(found, "maximum", low)
            return found if high is None else self._apply(found, "minimum", high)
        if name == "round" and len(args) == 1:
            return self._apply(self._apply(self.values(args[0]), "add", 0.5), "floor")
        if name == "reciprocal":
            return self.elementwise("div", 1.0, args[0])
        if name == "sigmoid":
            grown = self._apply(
                self._apply(self.elementwise("neg", args[0]), "exp"), "add", 1.0
            )
            return self._emit_all("div", torch.full_like(grown, self.constant(1.0)), grown)
        if name == "pow" and not isinstance(args[1], Tensor) and args[1] in (0.5, 2, 3):
            once = self.values(args[0])
            if args[1] == 0.5:
                return self._apply(once, "sqrt")
            return reduce(lambda a, b: self._emit_all("mul", a, b), [once] * int(args[1]))
        if name == "remainder":
            whole = self._apply(self.elementwise("div", args[0], args[1]), "floor")
            times = self._emit_all("mul", whole, self.values(args[1]))
            return self._emit_all("sub", self.values(args[0]), times)
        if name in ("addcmul", "lerp"):
            a, b, c = (self.values(arg) for arg in args[:3])
            if name == "addcmul":
                return self._emit_all("add", a, self._emit_all("mul", b, c))
            return self._emit_all(
                "add", a, self._emit_all("mul", c, self._emit_all("sub", b, a))
            )
        if name == "_to_copy" and out.dtype.is_floating_point:
            return self.values(args[0])
        if name in ("mm", "mv"):
            a, b = (self.values(arg) for arg in args)
            columns = b if b.ndim == 2 else b[:, None]
            terms = [
                self._emit_all("mul", a[:, k, None], columns[k]) for k in range(a.shape[1])
            ]
            return reduce(lambda x, y: self._emit_all("add", x, y), terms).view(out.shape)
        if name in ("sum", "amax", "amin", "linalg_vector_norm"):
            return self._reduce(name, args, kwargs).view(out.shape)
        if name == "nan_to_num":
            wrong = self._apply(self.elementwise("eq", args[0], args[0]), "eq", 1.0)
            return self._emit_all("where", wrong, self.values(args[0]), self.values(0.0))
        raise UnrecordableError(name)

    def _emit_all(self, name: str, *numbers: Tensor) -> Tensor:
        inputs = torch.broadcast_tensors(*numbers)
        rows = zip(*(part.flatten().tolist() for part in inputs), strict=True)
        found = [self.emit(name, *row) for row in rows]
        return torch.tensor(found, dtype=torch.long).view(inputs[0].shape)

    def _apply(self, numbers: Tensor, name: str, *more: Any) -> Tensor:
        return self._emit_all(name, numbers, *(self.values(operand) for operand in more))

    def _clamp_limits(self, name: str, args: tuple[Any, ...], kwargs: Any) -> tuple[Any, Any]:
        if name == "relu":
            return 0.0, None
        if name == "clamp_min":
            return args[1], None
        if name == "clamp_max":
            return None, args[1]
        low = args[1] if len(args) > 1 else kwargs.get("min")
        return low, args[2] if len(args) > 2 else kwargs.get("max")

    def _reduce(self, name: str, args: tuple[Any, ...], kwargs: Any) -> Tensor:
        """Reduce along one axis; verification at many points rules out the axis of points."""
        numbers = self.values(args[0])
        norm = name == "linalg_vector_norm"
        axes = args[2:3] if norm else args[1:2]
        order = args[1] if norm and len(args) > 1 else 2
        if len(axes) != 1 or len(axes[0]) != 1 or order != 2:
            raise UnrecordableError(name)
        parts: Sequence[Tensor] = numbers.unbind(axes[0][0])
        if norm:
            parts = [self._emit_all("mul", part, part) for part in parts]
        how = {"sum": "add", "amax": "maximum", "amin": "minimum"}.get(name, "add")
        whole = reduce(lambda a, b: self._emit_all(how, a, b), parts)
        return self._apply(whole, "sqrt") if norm else whole

    def tape(self, result: int) -> Tape:
        """The instructions that the result depends on, with registers reused after last use."""
        needed, code = {result}, []
        for at in range(len(self.code) - 1, -1, -1):
            if at + 3 in needed:
                needed.update(self.code[at][1:])
                code.append((at + 3, *self.code[at]))
        code.reverse()
        last = {operand: at for at, (_, _, *inputs) in enumerate(code) for operand in inputs}
        count = len(self.constants)
        register_of = {number: -1 - number for number in self.constants.values()}
        register_of |= {axis: count + axis for axis in range(3)}
        free: list[int] = []
        total = count + 3
        rows: list[tuple[int, ...]] = []
        for at, (number, operation, *inputs) in enumerate(code):
            registers = [register_of[operand] for operand in inputs]
            # Registers of operands without later use become free for the output.
            free += {register_of[o] for o in inputs if o > 2 and last[o] == at and o != result}
            if not free:
                free.append(total)
                total += 1
            register_of[number] = free.pop()
            rows.append(
                (
                    operation,
                    register_of[number],
                    *registers,
                    *[registers[0]] * (3 - len(inputs)),
                )
            )
        constants = np.array([*self.constants], np.float32)
        return Tape(
            np.array(rows, np.int32).reshape(-1, 5), constants, total, register_of[result]
        )
