"""Why a step runs on the kernel that it has: what its family is chosen for, and which row of it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..plan.lowering import KernelStep
from ..types import Dim
from .winograd import why_direct


def reason(step: KernelStep, row: str, *, has_winograd: bool, packs_wide: bool = False) -> str:
    """One line. `row`: why the family's row is this one. `has_winograd`: whether the step's backend has kernels of
    Winograd's method, so that a convolution without them needs a reason. `packs_wide`: whether packed weights are
    float32 where they are stored in 16 bits."""
    if step.chain:
        return _chain(step, row)
    why = _FAMILIES.get(step.family)
    parts = [why(step) if callable(why) else why] if why else []
    if step.family == "gemm" and has_winograd:
        parts[0] += _why_direct(step)
    if step.family == "gemm" and "f16" in step.row.types:
        parts.append(f"weights of 16 bits, widened when they are {'packed' if packs_wide else 'read'}")
    if step.node.origin:
        parts.insert(0, f"part of {step.node.origin}, which has no kernel")
    return "; ".join([*parts, row])


def _chain(step: KernelStep, row: str) -> str:
    members = (f"{node.op.name} '{node.name or node.outputs[0].name}'" for node in (own.node for own in step.chain))
    text = f"{len(step.chain)} steps over the same elements, in registers between them: {', '.join(members)}"
    origins = dict.fromkeys(own.node.origin for own in step.chain if own.node.origin)
    return "; ".join([*(f"part of {origin}, which has no kernel" for origin in origins), text, row])


def _why_direct(step: KernelStep) -> str:
    """Of a 3 x 3 convolution why it does not run by Winograd's method, of others nothing."""
    node = step.node
    weight = node.inputs[1]
    if "groups" not in node.attrs or weight is None or weight.stored is None or weight.shape[2:] != (3, 3):
        return ""
    height, width = node.output.shape[1:3]
    return f", direct: {why_direct(node.attrs, weight.stored, height, width, step.row.isa)}"


def _gemm(step: KernelStep) -> str:
    node = step.node
    if node.op.name == "matmul":
        (_, right) = node.inputs
        packed = "packed at load" if right is not None and right.is_constant else "packed in every run"
        return f"product of matrices, the right one {packed}"
    if "groups" not in node.attrs:
        return "product with weights packed at load"
    weight = node.inputs[1]
    assert weight is not None
    (kh, kw), groups = weight.shape[2:], node.attrs["groups"]
    text = "1x1 convolution: one product over all pixels" if kh == kw == 1 else f"{kh}x{kw} convolution by its taps"
    text += f", {groups} groups" if groups > 1 else ""
    return text


def _winograd(step: KernelStep) -> str:
    tile = step.params["tile"]
    assert isinstance(tile, int)
    share = (tile + 2) ** 2 / (9 * tile * tile)
    parts = step.params["parts"]
    exact = "" if step.compute == "f32" else ", of 16-bit integers and exact"
    exact += f", channels in {parts} parts" if parts != 1 else ""
    return f"3x3 convolution, stride 1: Winograd F({tile}x{tile}) takes {share:.0%} of the multiplications{exact}"


def _attention(step: KernelStep) -> str:
    lk = step.params["lk"]
    keys = "" if isinstance(lk, Dim) else f" of {lk} keys"
    return f"scores{keys}, softmax and weighted sum in one kernel"


def _qattention(step: KernelStep) -> str:
    return f"{_attention(step)}, on 8-bit integers"


def _move(step: KernelStep) -> str:
    return "another order of axes in memory" if step.node.op.name == "permute" else "only moves elements"


_FAMILIES: Mapping[str, str | Callable[[KernelStep], str]] = {
    "attention": _attention,
    "binary": "one result an element",
    "cast": "one result an element",
    "depthwise": "a filter for every channel: no product to make of it",
    "fma": "product, sum and activation in one pass",
    "gemm": _gemm,
    "index": "rows by index, which are checked",
    "move": _move,
    "norm": "mean, variance and scaling in one kernel",
    "pack": "the right matrix is made in this run: packed for the product that follows",
    "pool": "windows of pixels, channels last",
    "qattention": _qattention,
    "qbinary": "8-bit operands of unlike scales, one rounding",
    "quantize": "between float and 8 bits, or a function of 8 bits by table",
    "range": "numbers in a row",
    "reduce": "64 partial results, in one order on every machine",
    "resize": "pixels looked up or weighted, channels last",
    "rnn": "all steps of a layer in one kernel",
    "softmax": "largest, sum and scaling in one kernel",
    "topk": "elements that come before the last of those kept, which are sorted",
    "unary": "one result an element",
    "where": "one result an element",
    "winograd": _winograd,
}
"""Why a family is chosen. One that is not here is explained by its instruction set alone."""
