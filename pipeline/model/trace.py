"""One traced forward: what went into and came out of every MLP and every norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.model.norms import is_norm
from pipeline.naming import HOOKS

# Two rows of which the second is padded: it must come out as it does alone.
LENGTH, SHORT = 12, 7


@dataclass
class Trace:
    """What one forward saw.

    `points` holds, by (layer, name), what passed there, [batch pos width], each time: the
    activations `gate` and `in`, `post` that the output weight multiplies, and `mlp_in` and
    `mlp_out` that the MLP read and gave. `norms` holds (norm, its input, its output), in order.
    """

    points: dict[tuple[int, str], list[Tensor]] = field(default_factory=dict)
    norms: list[tuple[nn.Module, Tensor, Tensor]] = field(default_factory=list)
    hidden: Tensor | None = None

    def at(self, layer: int, name: str) -> Tensor:
        """What passed a point that was passed once."""
        (seen,) = self.points[layer, name]
        return seen

    @property
    def last(self) -> Float[Tensor, "batch pos d_model"]:
        """The last hidden states."""
        assert self.hidden is not None
        return self.hidden


def probe_ids(d_vocab: int) -> Int[Tensor, "batch pos"]:
    """The token ids of the probe batch."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, d_vocab, (2, LENGTH), generator=generator)


def traced_forward(
    body: Any, mlps: Sequence[Any], gated: bool, ids: Int[Tensor, "batch pos"]
) -> Trace:
    """Run a body whose MLPs are TransformerBridge's components, and keep what passes its points."""
    trace = Trace()

    def on_norm(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(out, Tensor):
            trace.norms.append((module, args[0], out))

    def keep(layer: int, name: str, *, read: bool = False) -> Callable[..., None]:
        def on_forward(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            # A copy: some architectures go on to change it in place.
            seen = (args[0] if read else out).clone()
            trace.points.setdefault((layer, name), []).append(seen)

        return on_forward

    handles = [
        module.register_forward_hook(on_norm) for module in body.modules() if is_norm(module)
    ]
    for layer, mlp in enumerate(mlps):
        if gated:
            points = [(getattr(mlp, hook), name, False) for name, hook in HOOKS.items()]
            points += [(mlp, "mlp_in", True), (mlp, "mlp_out", False)]
        else:
            # By the projections: some of these MLPs have no module, or add the residual themselves.
            in_, out = getattr(mlp, "in"), mlp.out
            points = [(in_.hook_in, "mlp_in", False), (in_.hook_out, "in", False)]
            points += [(out.hook_in, "post", False), (out.hook_out, "mlp_out", False)]
        handles += [
            module.register_forward_hook(keep(layer, name, read=read))
            for module, name, read in points
        ]
    try:
        with torch.inference_mode():
            trace.hidden = body(input_ids=ids, use_cache=False).last_hidden_state
    finally:
        for handle in handles:
            handle.remove()
    return trace
