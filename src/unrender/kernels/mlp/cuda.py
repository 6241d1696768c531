"""The network on a GPU, in Triton: one kernel forward, and one kernel per layer backward.

Forward, a program passes a block of points through all layers: activations stay in registers,
and hidden ones are written only if the backward pass needs them. Backward, each layer is a
kernel of its own, since its weights' gradient is a sum over all points, which fills a program's
registers: a bounded number of programs each loop over many blocks and write their sums once,
and these are added in a fixed order. The result does not depend on timing.

Tensor cores require tiles whose sides are powers of two of at least 16. Weights are therefore
zero-padded, and all hidden layers are as wide as the widest: a network is an input layer, equal
hidden layers, whose number is a compile-time constant of the forward kernel, and an output
layer.

Inputs may have any strides; outputs are feature-major, like the arrays of the other kernels.
Activations kept for the backward pass are point-major, so that a thread reads many values at
once, and in the precision in which they are multiplied.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from collections.abc import Sequence
from itertools import pairwise
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.expand import expand
from unrender.kernels.mlp import reference
from unrender.kernels.runtime.backend import interpreting
from unrender.kernels.runtime.function import Gradients, Saved, differentiable

INTERPRETED = tl.constexpr(interpreting())
MAX_WIDTH = 128
"""Networks with wider layers run the PyTorch reference."""
MAX_PROGRAMS = 256
"""Maximum number of programs of the backward pass: enough for all multiprocessors."""


@triton.jit
@no_type_check
def _rounded(value, precision: tl.constexpr):
    """Round `value` to the precision in which it is stored or multiplied."""
    if INTERPRETED and precision == tl.bfloat16:
        # The interpreter truncates, so rounding to nearest, ties to even, is done here.
        bits = value.to(tl.float32).to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & -0x10000
        value = bits.to(tl.float32, bitcast=True)
    return value.to(precision)


@triton.jit
@no_type_check
def _load(source, stride_point, stride_feature, at, num_points, width, WIDTH: tl.constexpr):
    """A [points, features] tile of an array with these strides, 0 out of bounds."""
    feature = tl.arange(0, WIDTH)[None, :]
    inside = (at < num_points)[:, None] & (feature < width)
    where = at[:, None] * stride_point + feature.to(tl.int64) * stride_feature
    return tl.load(source + where, mask=inside, other=0.0)


@triton.jit
@no_type_check
def _store(
    target, value, stride_point, stride_feature, at, num_points, width, WIDTH: tl.constexpr
):
    feature = tl.arange(0, WIDTH)[None, :]
    inside = (at < num_points)[:, None] & (feature < width)
    where = at[:, None] * stride_point + feature.to(tl.int64) * stride_feature
    tl.store(target + where, _rounded(value, target.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _product(a, b, total):
    """total + a b, accumulated in float32."""
    if INTERPRETED:
        # The interpreter would multiply the bits of bfloat16 values as integers.
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
    x_stride_point,
    x_stride_feature,
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
    value = _load(x, x_stride_point, x_stride_feature, at, num_points, num_inputs, INPUTS)
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
    gradient_stride_point,
    gradient_stride_feature,
    out,
    num_outputs,
    below,
    below_stride_point,
    below_stride_feature,
    num_inputs,
    weight,
    input_gradient,
    input_stride_point,
    input_stride_feature,
    weight_gradients,
    num_points,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BELOW_IS_HIDDEN: tl.constexpr,
    NEED_INPUT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Backward of one layer; `gradient` is that of its output `out`, after ACTIVATION."""
    column = tl.arange(0, INPUTS)[None, :]
    row = tl.arange(0, OUTPUTS)[:, None]
    precision = weight.dtype.element_ty
    total = tl.zeros([OUTPUTS, INPUTS], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(num_points, BLOCK), tl.num_programs(0)):
        at = tl.full([], BLOCK, tl.int64) * block + tl.arange(0, BLOCK)
        grad_output = _load(
            gradient,
            gradient_stride_point,
            gradient_stride_feature,
            at,
            num_points,
            num_outputs,
            OUTPUTS,
        )
        if ACTIVATION != "none":
            value = _load(out, 1, num_points, at, num_points, num_outputs, OUTPUTS)
            if ACTIVATION == "relu":
                grad_output = tl.where(value > 0, grad_output, 0.0)
            else:
                grad_output *= value * (1 - value)
        grad_output = _rounded(grad_output, precision)
        x = _load(
            below, below_stride_point, below_stride_feature, at, num_points, num_inputs, INPUTS
        )
        total = _product(tl.trans(grad_output), _rounded(x, precision), total)
        if NEED_INPUT:
            matrix = tl.load(weight + row * INPUTS + column)
            zeros = tl.zeros([BLOCK, INPUTS], tl.float32)
            result = _product(grad_output, matrix, zeros)
            if BELOW_IS_HIDDEN:
                result = tl.where(x > 0, result, 0.0)
            _store(
                input_gradient,
                result,
                input_stride_point,
                input_stride_feature,
                at,
                num_points,
                num_inputs,
                INPUTS,
            )
    partial_sum = weight_gradients + tl.program_id(0) * OUTPUTS * INPUTS
    tl.store(partial_sum + row * INPUTS + column, total)


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    activation: str,
    precision: str,
    ray_inputs: tuple[Tensor, Tensor] | None,
) -> Float[Tensor, "points outputs"]:
    if ray_inputs is not None:
        x = torch.cat([expand(*ray_inputs, len(x)).T, x.T]).T
    if not _can_run(x, weights, precision):
        return reference.mlp(x, weights, activation, precision, None)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights))
    inputs = x, activation, precision, keep
    return differentiable(_mlp_forward, _mlp_backward, *inputs, *weights)


def _can_run(x: Tensor, weights: Sequence[Tensor], precision: str) -> bool:
    """Whether layers fit in registers and the GPU supports bfloat16 (Ampere or later)."""
    if max(max(weight.shape) for weight in weights) > MAX_WIDTH:
        return False
    return precision == "float32" or not x.is_cuda or torch.cuda.is_bf16_supported(False)


def _padded(width: int) -> int:
    return max(16, triton.next_power_of_2(width))


def _tiling(widths: Sequence[int], precision: str) -> tuple[int, dict[str, int]]:
    """Points per block and Triton options, tuned to avoid register spills."""
    wide = max(widths) > 64
    block = 16 if precision == "float32" else 32 if wide else 64
    # Fused multiply-add is set explicitly: Triton 3.10 changes the default, and 3.9 warns.
    fused = {"num_stages": 2, "enable_fp_fusion": True}
    return block, {"num_warps": 8 if wide else 4, **fused}


def _pack(
    weights: Sequence[Tensor], shapes: Sequence[tuple[int, int]], dtype: torch.dtype
) -> Tensor:
    """All weights in one array, each zero-padded to its shape."""
    sizes = [rows * columns for rows, columns in shapes]
    packed = weights[0].new_zeros(sum(sizes), dtype=dtype)
    for weight, part, shape in zip(weights, packed.split(sizes), shapes, strict=True):
        part.view(shape)[: weight.shape[0], : weight.shape[1]] = weight
    return packed


def _mlp_forward(
    x: Tensor, activation: str, precision: str, keep: bool, *weights: Tensor
) -> Saved:
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
    sizes = [weight.shape for weight in weights]
    return out.T, (x, packed, hidden, out), (activation, precision, widths, sizes)


def _mlp_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    activation: str,
    precision: str,
    widths: list[int],
    sizes: list[torch.Size],
    x: Tensor,
    packed: Tensor,
    hidden: Tensor,
    out: Tensor,
) -> Gradients:
    num_points = len(x)
    block, options = _tiling(widths, precision)
    num_programs = min(triton.cdiv(num_points, block), MAX_PROGRAMS)
    shapes = [(outputs, inputs) for inputs, outputs in pairwise(widths)]
    matrices = packed.split([rows * columns for rows, columns in shapes])
    grad_output = gradient
    totals: list[Tensor] = []
    for layer in reversed(range(len(shapes))):
        outputs, inputs = shapes[layer]
        below = hidden[layer - 1] if layer else x
        need_input = layer > 0 or needed[0]
        # Point-major for hidden layers, feature-major for the network's input.
        shape = below.shape if need_input else (0, 0)
        grad_input = below.new_empty(shape) if layer else below.new_empty(shape[::-1]).T
        partial_sums = x.new_empty(num_programs, outputs, inputs)
        if num_points:
            with torch.cuda.device_of(x):
                _backward[(num_programs,)](
                    grad_output,
                    *grad_output.stride(),
                    out,
                    grad_output.shape[1],
                    below,
                    *below.stride(),
                    below.shape[1],
                    matrices[layer],
                    grad_input,
                    *grad_input.stride(),
                    partial_sums,
                    num_points,
                    INPUTS=inputs,
                    OUTPUTS=outputs,
                    ACTIVATION=activation,
                    BELOW_IS_HIDDEN=layer > 0,
                    NEED_INPUT=need_input,
                    BLOCK=block,
                    **options,
                )
        num_rows, num_columns = sizes[layer]
        totals.append(partial_sums.sum(0)[:num_rows, :num_columns])
        grad_output, activation = grad_input, "none"
    return (
        grad_output if needed[0] else None,
        None,
        None,
        None,
        *reversed(totals),
    )
