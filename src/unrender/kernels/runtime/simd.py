"""Products of small matrices in vector registers, for use inside Numba kernels.

Numba leaves the choice of vector instructions to LLVM's loop vectorizer, which does not find
the register tiles that matrix products need: it reaches a tenth of the peak rate. These
functions emit the tiles explicitly as vector instructions of LLVM, which every processor's
backend supports: no assembly, and no compiler on the user's machine.

Arrays of points are stored in panels of PANEL points, with all of their features one above the
other, so that a tile reads and writes contiguous memory. Arguments are addresses, and strides
are in units of float32.
"""

from itertools import product
from typing import Any, no_type_check

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_FEATURES = llvm.get_host_cpu_features()
LANES = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx") else 4
"""Width of this machine's vector registers in float32."""
ROWS = 4 if LANES == 8 else 8
"""Rows of a tile, chosen to use most registers (AVX has 16 of them, the others 32)."""
COLUMNS = 2
"""Vectors per row of a tile."""
PANEL = LANES * COLUMNS
"""Points per row of a tile."""
INNER_TILE = (4, 2) if LANES == 8 else (4, 4)
"""Rows and columns of a tile of inner products, with one register for each product."""


class _Builder:
    """LLVM instructions that both kinds of tile use."""

    def __init__(self, builder: Any):
        self.builder = builder
        self.index = ir.IntType(64)
        self.single = ir.FloatType()
        self.vector = ir.VectorType(self.single, LANES)

    def constant(self, value: int) -> Any:
        return self.index(value)

    def at(self, address: Any, offset: Any, kind: Any) -> Any:
        """A pointer to `address` plus `offset` float32 values."""
        where = self.builder.add(address, self.builder.shl(offset, self.constant(2)))
        return self.builder.inttoptr(where, kind.as_pointer())

    def load(self, address: Any, offset: Any) -> Any:
        return self.builder.load(self.at(address, offset, self.vector), align=4)

    def store(self, value: Any, address: Any, offset: Any) -> None:
        self.builder.store(value, self.at(address, offset, self.vector), align=4)

    def broadcast(self, address: Any, offset: Any) -> Any:
        value = self.builder.load(self.at(address, offset, self.single))
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def add_pairs(self, a: Any, b: Any) -> Any:
        """Sums of adjacent lanes: those of `a`, then those of `b`."""
        parts = [
            self.builder.shuffle_vector(
                a, b, ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(lanes))
            )
            for lanes in (range(0, 2 * LANES, 2), range(1, 2 * LANES, 2))
        ]
        return self.builder.fadd(*parts)

    def accumulators(self, count: int) -> list[Any]:
        zero = ir.Constant(self.vector, [0.0] * LANES)
        pointers = [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
        for pointer in pointers:
            self.builder.store(zero, pointer)
        return pointers

    def multiply_add(self, accumulator: Any, a: Any, b: Any) -> None:
        # "contract" permits a fused multiply-add where the processor has one.
        both = self.builder.fmul(a, b, flags=("contract",))
        total = self.builder.fadd(both, self.builder.load(accumulator), flags=("contract",))
        self.builder.store(total, accumulator)


PLAIN, RELU, MASK = 0, 1, 2
"""Epilogues of a product: none; max with 0; or 0 where a mask is not positive."""


@intrinsic
@no_type_check
def copy_row(context, source, target):
    """Copy one feature of a panel's points from one address to another."""

    @no_type_check
    def generate(context, builder, signature, arguments):
        make = _Builder(builder)
        for v in range(COLUMNS):
            offset = make.constant(v * LANES)
            make.store(make.load(arguments[0], offset), arguments[1], offset)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
@no_type_check
def multiply_tile(context, a, a_row, a_column, b, c, depth, mask, epilogue):
    """C = A B for ROWS rows of A and one panel B; `epilogue` is PLAIN, RELU or MASK.

    An entry of A is at a + row a_row + column a_column. B has `depth` rows of PANEL entries; C
    and the mask have ROWS.
    """

    @no_type_check
    def generate(context, builder, signature, arguments):
        a, a_row, a_column, b, c, depth, mask, _ = arguments
        mode = signature.args[-1].literal_value
        make = _Builder(builder)
        zero = ir.Constant(make.vector, [0.0] * LANES)
        accumulators = make.accumulators(ROWS * COLUMNS)
        with cgutils.for_range(builder, depth) as loop:
            row = builder.mul(loop.index, make.constant(PANEL))
            right = [
                make.load(b, builder.add(row, make.constant(v * LANES))) for v in range(COLUMNS)
            ]
            column = builder.mul(loop.index, a_column)
            for r in range(ROWS):
                offset = builder.add(column, builder.mul(make.constant(r), a_row))
                left = make.broadcast(a, offset)
                for v in range(COLUMNS):
                    make.multiply_add(accumulators[r * COLUMNS + v], left, right[v])
        for i, accumulator in enumerate(accumulators):
            offset = make.constant(i * LANES)
            value = builder.load(accumulator)
            if mode != PLAIN:
                criterion = value if mode == RELU else make.load(mask, offset)
                positive = builder.fcmp_ordered(">", criterion, zero)
                value = builder.select(positive, value, zero)
            make.store(value, c, offset)
        return context.get_dummy_value()

    if not isinstance(epilogue, types.IntegerLiteral):
        return None
    return types.void(*[types.int64] * 7, epilogue), generate


@intrinsic
@no_type_check
def inner_products(context, a, a_panel, b, b_panel, c, panels):
    """C += A Bᵀ for INNER_TILE[0] rows of A and INNER_TILE[1] of B, summed over all panels.

    Row i of panel p of A is at a + p a_panel + i PANEL, and likewise for B. C is contiguous,
    row by row.
    """

    @no_type_check
    def generate(context, builder, signature, arguments):
        a, a_panel, b, b_panel, c, panels = arguments
        make = _Builder(builder)
        accumulators = make.accumulators(INNER_TILE[0] * INNER_TILE[1])
        with cgutils.for_range(builder, panels) as loop:
            starts = [builder.mul(loop.index, stride) for stride in (a_panel, b_panel)]
            for v in range(COLUMNS):
                left, right = (
                    [
                        make.load(x, builder.add(at, make.constant(i * PANEL + v * LANES)))
                        for i in range(rows)
                    ]
                    for x, at, rows in zip((a, b), starts, INNER_TILE, strict=True)
                )
                for accumulator, (one, other) in zip(
                    accumulators, product(left, right), strict=True
                ):
                    make.multiply_add(accumulator, one, other)
        # Add adjacent lanes of two vectors at a time until each lane holds one inner product.
        sums = [builder.load(accumulator) for accumulator in accumulators]
        for _ in range(LANES.bit_length() - 1):
            sums = [make.add_pairs(sums[i], sums[i + 1]) for i in range(0, len(sums), 2)]
        for i, value in enumerate(sums):
            offset = make.constant(i * LANES)
            make.store(builder.fadd(value, make.load(c, offset)), c, offset)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate
