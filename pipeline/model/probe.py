"""Before a scan: whether the hooks tell the truth about this model.

A wrong activation function, a hook that does not fire or a changed forward would fill a dataset
with plausible numbers. One small batch through the untouched and the hooked model finds out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.errors import GatescopeError
from pipeline.model.norms import find_neighbours, is_norm
from pipeline.naming import HOOKS

if TYPE_CHECKING:
    from pipeline.model.gated import GatedModel

# Two rows of which the second is padded: it must come out as it does alone.
_LENGTH, _SHORT = 12, 7
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def _probe_ids(d_vocab: int) -> Int[Tensor, "batch pos"]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, d_vocab, (2, _LENGTH), generator=generator)


def native_hidden_states(body: Any, d_vocab: int) -> Float[Tensor, "batch pos d_model"]:
    """The last hidden states of the untouched body on the probe batch."""
    device = next(body.parameters()).device
    with torch.inference_mode():
        out = body(input_ids=_probe_ids(d_vocab).to(device), use_cache=False)
    hidden: Tensor = out.last_hidden_state
    return hidden


@dataclass
class _Trace:
    """What one traced forward saw: each MLP's and each norm's inputs and outputs."""

    mlp: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    hooks: dict[tuple[int, str], list[Tensor]] = field(default_factory=dict)
    norms: list[tuple[nn.Module, Tensor, Tensor]] = field(default_factory=list)
    hidden: Tensor | None = None


def _traced_forward(model: GatedModel, ids: Tensor) -> _Trace:
    trace = _Trace()

    def on_norm(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(out, Tensor):
            trace.norms.append((module, args[0], out))

    handles = [
        module.register_forward_hook(on_norm) for module in model.body.modules() if is_norm(module)
    ]
    for layer, mlp in enumerate(model.mlps):

        def on_mlp(module: nn.Module, args: tuple[Any, ...], out: Any, layer: int = layer) -> None:
            trace.mlp[layer] = (args[0], out)

        handles.append(mlp.register_forward_hook(on_mlp))
        for hook in HOOKS.values():

            def on_hook(
                module: nn.Module,
                args: tuple[Any, ...],
                out: Any,
                key: tuple[int, str] = (layer, hook),
            ) -> None:
                trace.hooks.setdefault(key, []).append(out)

            handles.append(getattr(mlp, hook).register_forward_hook(on_hook))
    try:
        with torch.inference_mode():
            body: Any = model.body
            trace.hidden = body(input_ids=ids.to(model.device), use_cache=False).last_hidden_state
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _relative_error(got: Tensor, want: Tensor) -> float:
    scale = want.float().abs().max().clamp_min(1e-12)
    return float((got.float() - want.float()).abs().max() / scale)


def _elementwise_error(got: Tensor, want: Tensor) -> float:
    """The largest relative error of an element, but for elements near nothing.

    Two activation functions (GELU and its tanh form) may differ by little beside the largest
    activation, and by much beside their own small values.
    """
    got, want = got.float(), want.float()
    floor = 1e-3 * want.abs().median().clamp_min(1e-9)
    return float(((got - want).abs() / (want.abs() + floor)).max())


@torch.inference_mode()
def probe(model: GatedModel, native: Float[Tensor, "batch pos d_model"]) -> None:
    """Check a freshly hooked model and fill its `neighbours`.

    `native` are the hidden states of the untouched model on the probe batch. Checked: they are
    unchanged; every hook fires once with d_mlp columns; act_fn(gate) * in is what the down
    projection reads; W_gate and W_in give gate and in; a padded row equals the row alone.
    Raises GatescopeError that names the layer and what differs.
    """
    if not torch.isfinite(native).all():
        raise GatescopeError(
            f"model.name={model.name}: the hidden states of the untouched model are NaN or "
            "infinite on the probe batch; check its weights, or try model.dtype=float32"
        )
    ids = _probe_ids(model.d_vocab)
    tolerance = _TOLERANCE[model.dtype]
    trace = _traced_forward(model, ids)
    assert trace.hidden is not None
    _demand(
        model,
        None,
        "hidden states of the hooked and the untouched model",
        tolerance,
        _relative_error(trace.hidden, native),
    )
    for layer, mlp in enumerate(model.mlps):
        fired = {name: trace.hooks.get((layer, hook), []) for name, hook in HOOKS.items()}
        wrong = {name: len(seen) for name, seen in fired.items() if len(seen) != 1}
        if wrong or layer not in trace.mlp:
            raise GatescopeError(
                f"model.name={model.name}: the hooks of layer {layer} fired {wrong} times instead "
                f"of once each; the TransformerLens adapter of {model.architecture} does not fit "
                "this model, please report it"
            )
        gate, in_, post = (fired[name][0] for name in ("gate", "in", "post"))
        shape = (*ids.shape, model.n_neurons(layer))
        if not gate.shape == in_.shape == post.shape == shape:
            raise GatescopeError(
                f"model.name={model.name}: layer {layer} has gate {tuple(gate.shape)} and in "
                f"{tuple(in_.shape)} where [batch pos neuron] {shape} is expected"
            )
        act = model.act_fns[layer](gate)
        _demand(
            model,
            layer,
            "act_fn(gate) * in and the down projection's input",
            tolerance,
            _elementwise_error(act * in_, post),
        )
        mlp_in, mlp_out = trace.mlp[layer]
        for name, got, weight, bias in (
            ("gate", gate, mlp.W_gate, mlp.b_gate),
            ("in", in_, mlp.W_in, mlp.b_in),
        ):
            want = mlp_in @ weight + (0 if bias is None else bias)
            _demand(
                model,
                layer,
                f"W_{name} . x and the hooked {name}",
                tolerance,
                _relative_error(got, want),
            )
        out_scale = float(getattr(mlp.original_component, "down_multiplier", 1.0))
        model.neighbours[layer] = find_neighbours(mlp_in, mlp_out, trace.norms, out_scale)
    alone = _traced_forward(model, ids[1:, :_SHORT])
    assert alone.hidden is not None
    error = _relative_error(trace.hidden[1:, :_SHORT], alone.hidden)
    if not error <= tolerance:
        raise GatescopeError(
            f"model.name={model.name}: hidden states of a padded row and of the row alone differ "
            f"by {error:.2g} (at most {tolerance:g} is rounding), so that {model.architecture} is "
            "not causal here; Gatescope scans models that read from left to right"
        )


def _demand(
    model: GatedModel, layer: int | None, what: str, tolerance: float, error: float
) -> None:
    if not error <= tolerance:
        where = "" if layer is None else f" of layer {layer}"
        raise GatescopeError(
            f"model.name={model.name}: {what}{where} differ by {error:.2g} (at most {tolerance:g} "
            f"is rounding); the TransformerLens adapter of {model.architecture} does not fit this "
            "model, please report it"
        )
