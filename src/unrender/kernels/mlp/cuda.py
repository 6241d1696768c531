"""The network on a GPU: forward in one kernel, backward in one for each layer.

Forward, a program takes a block of points through all layers: activations stay in registers,
and hidden ones are written out only where a backward pass will want them. Backward, a layer is
a kernel of its own, since its weights' gradient is a sum over all points, which fills a
program's registers as it is: a bounded number of programs each walk over many blocks and write
their sums once, and these are added in a fixed order. So nothing depends on timing.

The tensor cores want tiles whose sides are powers of two from 16. Weights are therefore padded
with zeros, and hidden layers are all as wide as the widest: a network is then an input layer,
equal hidden layers, whose number the forward kernel is compiled for, and an output layer.

What comes in may have any strides; what goes out is feature-major, like the arrays of the other
kernels. What is kept for the backward pass is point-major, so that a thread reads many numbers
at once, and in the precision in which it is multiplied.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.expand import expand
from unrender.kernels.mlp import reference
from unrender.kernels.runtime.backend import interpreting

INTERPRETED = tl.constexpr(interpreting())
MAX_WIDTH = 128
"""Wider layers are left to torch."""
MAX_PROGRAMS = 256
"""Of the backward pass: enough for every multiprocessor."""


@triton.jit
@no_type_check
def _rounded(value, precision: tl.constexpr):
    """`value` in the precision in which it is stored or multiplied."""
    if INTERPRETED and precision == tl.bfloat16:
        # The interpreter only cuts digits off: half of the last one is added, ties to even.
        bits = value.to(tl.float32).to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & -0x10000
        value = bits.to(tl.float32, bitcast=True)
    return value.to(precision)


@triton.jit
@no_type_check
def _load(source, by_point, by_feature, at, num_points, width, WIDTH: tl.constexpr):
    """A [points, features] tile of an array with these strides, 0 where it has ended."""
    feature = tl.arange(0, WIDTH)[None, :]
    inside = (at < num_points)[:, None] & (feature < width)
    where = at[:, None] * by_point + feature.to(tl.int64) * by_feature
    return tl.load(source + where, mask=inside, other=0.0)


@triton.jit
@no_type_check
def _store(target, value, by_point, by_feature, at, num_points, width, WIDTH: tl.constexpr):
    feature = tl.arange(0, WIDTH)[None, :]
    inside = (at < num_points)[:, None] & (feature < width)
    where = at[:, None] * by_point + feature.to(tl.int64) * by_feature
    tl.store(target + where, _rounded(value, target.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _product(a, b, total):
    """total + a b, with sums in float32."""
    if INTERPRETED:
        # The interpreter would multiply the bits of bfloat16 numbers as if they were integers.
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, input_precision="ieee")


@triton.jit
@no_type_check
def _layer(value, weight, BLOCK: tl.constexpr, INPUTS: tl.constexpr, OUTPUTS: tl.constexpr):
    """value Wᵀ, multiplied in the precision in which the weights are stored."""
    column = tl.arange(0, INPUTS)[:, None]
    row = tl.arange(0, OUTPUTS)[None, :]
    transposed = tl.load(weight + row * INPUTS + column)
    zeros = tl.zeros([BLOCK, OUTPUTS], tl.float32)
    return _product(_rounded(value, weight.dtype.element_ty), transposed, zeros)


@triton.jit
@no_type_check
def _forward(
    x,
    x_by_point,
    x_by_feature,
    num_inputs,
    weights,
    hidden,
    out,
    num_outputs,
    num_points,
    INPUTS: tl.constexpr,
    HIDDEN: tl.constexpr,
    OUTPUTS: tl.constexpr,
    NUM_HIDDEN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    KEEP_HIDDEN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = _load(x, x_by_point, x_by_feature, at, num_points, num_inputs, INPUTS)
    if NUM_HIDDEN == 0:
        result = _layer(value, weights, BLOCK, INPUTS, OUTPUTS)
    else:
        inner = tl.maximum(_layer(value, weights, BLOCK, INPUTS, HIDDEN), 0.0)
        weights += HIDDEN * INPUTS
        for _ in range(1, NUM_HIDDEN):
            if KEEP_HIDDEN:
                _store(hidden, inner, HIDDEN, 1, at, num_points, HIDDEN, HIDDEN)
                hidden += tl.full([], HIDDEN, tl.int64) * num_points
            inner = tl.maximum(_layer(inner, weights, BLOCK, HIDDEN, HIDDEN), 0.0)
            weights += HIDDEN * HIDDEN
        if KEEP_HIDDEN:
            _store(hidden, inner, HIDDEN, 1, at, num_points, HIDDEN, HIDDEN)
        result = _layer(inner, weights, BLOCK, HIDDEN, OUTPUTS)
    if ACTIVATION == "relu":
        result = tl.maximum(result, 0.0)
    if ACTIVATION == "sigmoid":
        result = 1 / (1 + tl.exp(-result))
    _store(out, result, 1, num_points, at, num_points, num_outputs, OUTPUTS)


@triton.jit
@no_type_check
def _backward(
    gradient,
    gradient_by_point,
    gradient_by_feature,
    out,
    num_outputs,
    below,
    below_by_point,
    below_by_feature,
    num_inputs,
    weight,
    input_gradient,
    input_by_point,
    input_by_feature,
    weight_gradients,
    num_points,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BELOW_IS_HIDDEN: tl.constexpr,
    WANT_INPUT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One layer: `gradient` is by what it puts out, after `ACTIVATION`, which `out` holds."""
    column = tl.arange(0, INPUTS)[None, :]
    row = tl.arange(0, OUTPUTS)[:, None]
    precision = weight.dtype.element_ty
    total = tl.zeros([OUTPUTS, INPUTS], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(num_points, BLOCK), tl.num_programs(0)):
        at = tl.full([], BLOCK, tl.int64) * block + tl.arange(0, BLOCK)
        above = _load(
            gradient,
            gradient_by_point,
            gradient_by_feature,
            at,
            num_points,
            num_outputs,
            OUTPUTS,
        )
        if ACTIVATION != "none":
            value = _load(out, 1, num_points, at, num_points, num_outputs, OUTPUTS)
            if ACTIVATION == "relu":
                above = tl.where(value > 0, above, 0.0)
            else:
                above *= value * (1 - value)
        above = _rounded(above, precision)
        x = _load(below, below_by_point, below_by_feature, at, num_points, num_inputs, INPUTS)
        total = _product(tl.trans(above), _rounded(x, precision), total)
        if WANT_INPUT:
            matrix = tl.load(weight + row * INPUTS + column)
            zeros = tl.zeros([BLOCK, INPUTS], tl.float32)
            result = _product(above, matrix, zeros)
            if BELOW_IS_HIDDEN:
                result = tl.where(x > 0, result, 0.0)
            _store(
                input_gradient,
                result,
                input_by_point,
                input_by_feature,
                at,
                num_points,
                num_inputs,
                INPUTS,
            )
    share = weight_gradients + tl.program_id(0) * OUTPUTS * INPUTS
    tl.store(share + row * INPUTS + column, total)


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    activation: str,
    precision: str,
    head: tuple[Tensor, Tensor] | None,
) -> Float[Tensor, "points outputs"]:
    if head is not None:
        x = torch.cat([expand(*head, len(x)).T, x.T]).T
    if not _can_run(x, weights, precision):
        return reference.mlp(x, weights, activation, precision, None)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights))
    return _MLP.apply(x, activation, precision, keep, *weights)  # pyright: ignore[reportReturnType]


def _can_run(x: Tensor, weights: Sequence[Tensor], precision: str) -> bool:
    """Layers must fit in registers, and GPUs before Ampere cannot multiply bfloat16."""
    if max(max(weight.shape) for weight in weights) > MAX_WIDTH:
        return False
    return precision == "float32" or not x.is_cuda or torch.cuda.is_bf16_supported(False)


def _padded(width: int) -> int:
    return max(16, triton.next_power_of_2(width))


def _tiling(widths: Sequence[int], precision: str) -> tuple[int, dict[str, int]]:
    """Points at a time and Triton's options, such that hardly any register is spilled."""
    wide = max(widths) > 64
    block = 16 if precision == "float32" else 32 if wide else 64
    # Fusing is Triton's default, but will not be from 3.10, and 3.9 warns of that.
    fused = {"num_stages": 2, "enable_fp_fusion": True}
    return block, {"num_warps": 8 if wide else 4, **fused}


def _pack(
    weights: Sequence[Tensor], shapes: Sequence[tuple[int, int]], dtype: torch.dtype
) -> Tensor:
    """All weights one after the other, each padded with zeros to its shape."""
    sizes = [rows * columns for rows, columns in shapes]
    packed = weights[0].new_zeros(sum(sizes), dtype=dtype)
    for weight, part, shape in zip(weights, packed.split(sizes), shapes, strict=True):
        part.view(shape)[: weight.shape[0], : weight.shape[1]] = weight
    return packed


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, activation: str, precision: str, keep: bool, *weights: Tensor
    ) -> Tensor:
        x = x.detach()
        num_points, num_hidden = len(x), len(weights) - 1
        width = _padded(max((len(weight) for weight in weights[:-1]), default=1))
        widths = [_padded(x.shape[1]), *[width] * num_hidden, _padded(len(weights[-1]))]
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        shapes = [(outputs, inputs) for inputs, outputs in pairwise(widths)]
        packed = _pack([weight.detach() for weight in weights], shapes, dtype)
        hidden = packed.new_empty(num_hidden if keep else 0, num_points, width)
        out = x.new_empty(len(weights[-1]), num_points)
        block, options = _tiling(widths, precision)
        if num_points:
            with torch.cuda.device_of(x):
                _forward[(triton.cdiv(num_points, block),)](
                    x,
                    *x.stride(),
                    x.shape[1],
                    packed,
                    hidden,
                    out,
                    len(out),
                    num_points,
                    INPUTS=widths[0],
                    HIDDEN=width,
                    OUTPUTS=widths[-1],
                    NUM_HIDDEN=num_hidden,
                    ACTIVATION=activation,
                    KEEP_HIDDEN=keep,
                    BLOCK=block,
                    **options,
                )
        ctx.save_for_backward(x, packed, hidden, out)
        ctx.activation, ctx.precision, ctx.widths = activation, precision, widths
        ctx.shapes = [weight.shape for weight in weights]
        return out.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, packed, hidden, out = ctx.saved_tensors
        num_points = len(x)
        block, options = _tiling(ctx.widths, ctx.precision)
        num_programs = min(triton.cdiv(num_points, block), MAX_PROGRAMS)
        shapes = [(outputs, inputs) for inputs, outputs in pairwise(ctx.widths)]
        matrices = packed.split([rows * columns for rows, columns in shapes])
        above, activation = gradients[0], ctx.activation
        totals: list[Tensor] = []
        for layer in reversed(range(len(shapes))):
            outputs, inputs = shapes[layer]
            below = hidden[layer - 1] if layer else x
            needs_grad = layer > 0 or ctx.needs_input_grad[0]
            # By hidden layers it is point-major; by the network's input, feature-major.
            shape = below.shape if needs_grad else (0, 0)
            by_input = below.new_empty(shape) if layer else below.new_empty(shape[::-1]).T
            shares = x.new_empty(num_programs, outputs, inputs)
            if num_points:
                with torch.cuda.device_of(x):
                    _backward[(num_programs,)](
                        above,
                        *above.stride(),
                        out,
                        above.shape[1],
                        below,
                        *below.stride(),
                        below.shape[1],
                        matrices[layer],
                        by_input,
                        *by_input.stride(),
                        shares,
                        num_points,
                        INPUTS=inputs,
                        OUTPUTS=outputs,
                        ACTIVATION=activation,
                        BELOW_IS_HIDDEN=layer > 0,
                        WANT_INPUT=needs_grad,
                        BLOCK=block,
                        **options,
                    )
            num_rows, num_columns = ctx.shapes[layer]
            totals.append(shares.sum(0)[:num_rows, :num_columns])
            above, activation = by_input, "none"
        return above if ctx.needs_input_grad[0] else None, None, None, None, *reversed(totals)
