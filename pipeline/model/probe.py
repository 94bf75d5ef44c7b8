"""Before a scan: whether the hooks tell the truth about this model.

A wrong activation function, a hook that does not fire or a changed forward would fill a dataset
with plausible numbers. One small batch through the untouched and the hooked model finds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.activations import ACT2FN

from pipeline.errors import GatescopeError
from pipeline.model.info import ModelInfo
from pipeline.model.memory import fetched
from pipeline.model.norms import final_gain, find_neighbours, reads_stream
from pipeline.model.trace import SHORT, Trace, probe_ids, traced_forward
from pipeline.model.weights import ModelWeights

if TYPE_CHECKING:
    from pipeline.model.gated import GatedModel

# Of MLPs without a gate, by transformers' names, the more exact of two that are alike first.
_ACT_FNS = ("relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu2", "silu", "quick_gelu", "tanh")
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def native_hidden_states(body: Any, d_vocab: int) -> Float[Tensor, "batch pos d_model"]:
    """The last hidden states of the untouched body on the probe batch."""
    device = next(body.parameters()).device
    with torch.inference_mode():
        out = body(input_ids=probe_ids(d_vocab).to(device), use_cache=False)
    hidden: Tensor = out.last_hidden_state
    return hidden


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
    """Check a freshly hooked model and fill what its `weights` ask of the probe.

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
    ids = probe_ids(model.d_vocab).to(model.device)
    checks = _Checks(model.name, model.architecture, _TOLERANCE[model.dtype])
    trace = traced_forward(model.body, model.mlps, True, ids)
    checks.demand(
        "hidden states of the hooked and the untouched model",
        _relative_error(trace.last, native),
    )
    checks.points(model.weights, trace)
    for layer in range(model.n_layers):
        gate, in_, post = (trace.at(layer, name) for name in ("gate", "in", "post"))
        checks.demand(
            f"act_fn(gate) * in and the down projection's input of layer {layer}",
            _elementwise_error(model.act_fns[layer](gate) * in_, post),
        )
    checks.projections(model.weights, trace)
    _fill(model.weights, trace)
    alone = traced_forward(model.body, model.mlps, True, ids[1:, :SHORT])
    error = _relative_error(trace.last[1:, :SHORT], alone.last)
    if not error <= checks.tolerance:
        raise GatescopeError(
            f"model.name={model.name}: hidden states of a padded row and of the row alone differ "
            f"by {error:.2g} (at most {checks.tolerance:g} is rounding), so that "
            f"{model.architecture} is not causal here; Gatescope scans models that read from left "
            "to right"
        )


@torch.inference_mode()
def probe_weights(body: nn.Module, weights: ModelWeights, info: ModelInfo) -> Trace:
    """Check the weights of a model that is not scanned and fill what they ask of the probe.

    Checked: each MLP runs once, and its weights give its activations. Gives what was seen. Raises
    GatescopeError.
    """
    dtype = next(body.parameters()).dtype
    trace = traced_forward(body, weights.mlps, weights.gated, probe_ids(info.d_vocab))
    if not torch.isfinite(trace.last).all():
        hint = "" if dtype == torch.float32 else ", or try model.dtype=float32"
        raise GatescopeError(
            f"model.name={info.name}: {_first_fault(trace, len(weights.mlps))} is NaN or infinite "
            f"on the probe batch; check the weights from there back{hint}"
        )
    checks = _Checks(info.name, info.architecture, _TOLERANCE[dtype])
    checks.points(weights, trace)
    checks.projections(weights, trace)
    _fill(weights, trace)
    return trace


def _first_fault(trace: Trace, n_layers: int) -> str:
    """Where the first value that is not finite was seen, from the first layer on."""
    for layer in range(n_layers):
        for name in ("mlp_in", "gate", "in", "post", "mlp_out"):
            if not all(torch.isfinite(seen).all() for seen in trace.points.get((layer, name), [])):
                return f"{name} of layer {layer}"
    return "the last hidden state"


def act_fn_of(trace: Trace) -> str | None:
    """The name of the activation function of MLPs without a gate, by what layer 0 made of `in`.

    TransformerLens' configuration has a default where the architecture's own has no entry.
    """
    pre, post = trace.at(0, "in"), trace.at(0, "post")
    tolerance = _TOLERANCE[post.dtype]
    names = [name for name in _ACT_FNS if _elementwise_error(ACT2FN[name](pre), post) <= tolerance]
    return names[0] if names else None


def _fill(weights: ModelWeights, trace: Trace) -> None:
    for layer, mlp in enumerate(weights.mlps):
        out_scale = float(getattr(mlp.original_component, "down_multiplier", 1.0))
        mlp_in, mlp_out = trace.at(layer, "mlp_in"), trace.at(layer, "mlp_out")
        weights.neighbours[layer] = find_neighbours(mlp_in, mlp_out, trace.norms, out_scale)
    # After norms of the residual stream the last hidden states are the stream.
    is_stream = reads_stream(mlp_in, mlp_out, trace.norms)
    weights.final_gain = final_gain(trace.last, [] if is_stream else trace.norms)


@dataclass(frozen=True)
class _Checks:
    """What has to hold of a model, within `tolerance`."""

    name: str
    architecture: str
    tolerance: float

    def demand(self, what: str, error: float) -> None:
        if not error <= self.tolerance:
            raise GatescopeError(
                f"model.name={self.name}: {what} differ by {error:.2g} (at most "
                f"{self.tolerance:g} is rounding); the TransformerLens adapter of "
                f"{self.architecture} does not fit this model, please report it"
            )

    def points(self, weights: ModelWeights, trace: Trace) -> None:
        """Every point was passed once, with as many columns as there are neurons."""
        names = (*_read(weights), "post")
        for layer in range(len(weights.mlps)):
            fired = {
                name: len(trace.points.get((layer, name), []))
                for name in (*names, "mlp_in", "mlp_out")
            }
            wrong = {name: n for name, n in fired.items() if n != 1}
            if wrong:
                raise GatescopeError(
                    f"model.name={self.name}: the hooks of layer {layer} fired {wrong} times "
                    f"instead of once each; the TransformerLens adapter of {self.architecture} "
                    "does not fit this model, please report it"
                )
            shape = (*trace.at(layer, "mlp_in").shape[:-1], weights.n_neurons(layer))
            seen = {name: tuple(trace.at(layer, name).shape) for name in names}
            if any(found != shape for found in seen.values()):
                there = " and ".join(f"{name} {found}" for name, found in seen.items())
                raise GatescopeError(
                    f"model.name={self.name}: layer {layer} has {there} where [batch pos neuron] "
                    f"{shape} is expected"
                )

    def projections(self, weights: ModelWeights, trace: Trace) -> None:
        """The weights give what was seen at the points."""
        for layer, mlp in enumerate(weights.mlps):
            with fetched(mlp):
                ends = [
                    ("mlp_in", name, f"W_{name} . x and the hooked {name}")
                    for name in _read(weights)
                ]
                if not weights.gated:
                    ends.append(("post", "mlp_out", "W_out . post and the MLP's output"))
                for source, name, what in ends:
                    projection = "out" if name == "mlp_out" else name
                    # Not b_in and the like: those are of the time when the MLP was put in place.
                    weight, bias = getattr(mlp, f"W_{projection}"), getattr(mlp, projection).bias
                    want = trace.at(layer, source) @ weight + (0 if bias is None else bias)
                    error = _relative_error(trace.at(layer, name), want)
                    self.demand(f"{what} of layer {layer}", error)


def _read(weights: ModelWeights) -> tuple[str, ...]:
    """The activations of the projections that read the residual stream."""
    return ("gate", "in") if weights.gated else ("in",)
