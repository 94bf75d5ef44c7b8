"""What stands on the page of a neuron, as text and numbers that are written already."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.activation import activation_of
from pipeline.naming import COMBO_NAMES, QUANTITIES
from pipeline.query import Neuron
from pipeline.view.visible import visible

# Examples of a list that are shown, by ranking.
_SHOWN: Final = {"post": 4, "gate": 1, "in": 1, "act": 1, "random": 2}
_STEPS: Final = 7
_NOTHING: Final = "–"
# Characters of a token, and of a text of which no window is known.
_LONGEST_TOKEN: Final = 60
_LONGEST_TEXT: Final = 240
# The conditions of the classes, by cos(w_in, w_out) and |cos(w_gate, w_out)|.
_CONDITIONS: Final = {
    "enrichment": "cos(in,out) > {t}, |cos(gate,out)| > {t}",
    "conditional enrichment": "cos(in,out) > {t}, |cos(gate,out)| ≤ {t}",
    "proportional change": "|cos(in,out)| ≤ {t}, |cos(gate,out)| > {t}",
    "orthogonal output": "|cos(in,out)| ≤ {t}, |cos(gate,out)| ≤ {t}",
    "conditional depletion": "cos(in,out) < −{t}, |cos(gate,out)| ≤ {t}",
    "depletion": "cos(in,out) < −{t}, |cos(gate,out)| > {t}",
}


def neuron_parts(neuron: Neuron, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a neuron."""
    row = neuron.row
    threshold = manifest["config"]["weights"]["threshold"]
    return {
        "name": neuron.name,
        "io_class": row["io_class"],
        "condition": _condition(row["io_class"], threshold),
        "flipped": bool(row["flipped"]),
        "weights": [
            (label, number(row[column]))
            for label, column in (
                ("cos(w_gate, w_in)", "cos_gate_in"),
                ("cos(w_gate, w_out)", "cos_gate_out"),
                ("cos(w_in, w_out)", "cos_in_out"),
                ("|w_gate|", "norm_gate"),
                ("|w_in|", "norm_in"),
                ("|w_out|", "norm_out"),
            )
        ],
        "combinations": [_combination(stats) for stats in neuron.stats],
        "tokens": _weight_tokens(neuron),
        "lists": _lists(neuron, manifest["model"]["act_fn"]),
    }


def number(value: float | None) -> str:
    """Three digits with a true minus; a dash for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _NOTHING
    return f"{value:.3g}".replace("-", "−")


def _condition(io_class: str | None, threshold: float) -> str | None:
    if io_class is None:
        return None
    base = io_class.removeprefix("atypical ")
    said = _CONDITIONS.get(base, "").format(t=f"{threshold:g}")
    return f"{said}; cos(gate,in) does not follow from these" if base != io_class else said


def _combination(stats: Mapping[str, Any]) -> dict[str, Any]:
    frequency, count = stats["frequency"], stats["count"]
    return {
        "combo": stats["combo"],
        "share": 100 * (frequency or 0),
        "frequency": _NOTHING if frequency is None else f"{frequency:.2%}",
        "count": _NOTHING if count is None else f"{count:,}",
        "means": [number(stats[f"mean_{quantity}"]) for quantity in QUANTITIES],
    }


def _weight_tokens(neuron: Neuron) -> list[dict[str, Any]]:
    lists: dict[tuple[str, str, str], list[str]] = {}
    for row in neuron.weight_tokens:
        key = row["weight"], row["matrix"], row["side"]
        lists.setdefault(key, []).append(_token(row["token"]))
    return [
        {"weight": f"w_{weight}", "matrix": matrix, "side": side, "tokens": tokens}
        for (weight, matrix, side), tokens in lists.items()
    ]


def _lists(neuron: Neuron, act_fn: str | None) -> list[dict[str, Any]]:
    lists = []
    for combo in COMBO_NAMES:
        for ranking, n in _SHOWN.items():
            entries = neuron.list_of(combo, ranking)[:n]
            if entries:
                lists.append(_list(neuron, combo, ranking, entries, act_fn))
    return lists


def _list(
    neuron: Neuron,
    combo: str,
    ranking: str,
    entries: Sequence[Mapping[str, Any]],
    act_fn: str | None,
) -> dict[str, Any]:
    windows = [_window(entry, act_fn) for entry in entries]
    coloured, quantity = (
        (2, "post") if all(w is None or len(w) == 3 for w in windows) else (0, "gate")
    )
    sizes = [np.abs(w[coloured]) for w in windows if w is not None]
    finite = [size[np.isfinite(size)].max(initial=0) for size in sizes]
    limit = float(max(finite, default=0))
    return {
        "combo": combo,
        "ranking": ranking,
        "quantity": quantity,
        "limit": number(limit) if sizes else None,
        "entries": [
            _entry(neuron, entry, window, coloured, limit)
            for entry, window in zip(entries, windows, strict=True)
        ],
    }


def _window(entry: Mapping[str, Any], act_fn: str | None) -> tuple[np.ndarray, ...] | None:
    """gate, in and, where the activation function is known and fits, post at each token."""
    if entry["token_ids"] is None:
        return None
    gate, in_ = (np.asarray(entry[name], np.float64) for name in ("gate", "in"))
    act = activation_of(act_fn)
    if act is None:
        return gate, in_
    with np.errstate(invalid="ignore", over="ignore"):
        post = act(gate) * in_
        peak = post[entry["position"] - entry["window_start"]]
        fits = abs(peak - entry["post_value"]) <= 0.03 * abs(entry["post_value"]) + 1e-4
    return (gate, in_, post) if fits else (gate, in_)


def _entry(
    neuron: Neuron,
    entry: Mapping[str, Any],
    window: tuple[np.ndarray, ...] | None,
    coloured: int,
    limit: float,
) -> dict[str, Any]:
    position = entry["position"]
    shown = {
        "score": number(entry["score"]),
        "values": [
            (name, number(entry[f"{name}_value"]))
            for name in ("gate", "in", "post")
            if entry[f"{name}_value"] is not None
        ],
        "example": f"{entry['example_id']:,}",
        "position": None if position is None else f"{position:,}",
        "n_duplicates": entry["n_duplicates"] or 0,
        "tokens": None,
        "text": None,
    }
    if window is None:
        text = neuron.texts.get(entry["example_id"])
        cut = text is not None and len(text) > _LONGEST_TEXT
        shown["text"] = None if text is None else visible(text[:_LONGEST_TEXT]) + "…" * cut
        return shown
    peak = position - entry["window_start"]
    names = ("gate", "in", "post")[: len(window)]
    shown["starts"] = entry["window_start"] == 0
    shown["tokens"] = [
        {
            "text": _token(token),
            "breaks": "\n" in token,
            "class": _colour(float(window[coloured][place]), limit),
            "said": ", ".join(
                f"{name} {number(float(of[place]))}" for name, of in zip(names, window, strict=True)
            ),
            "is_peak": place == peak,
        }
        for place, token in enumerate(entry["tokens"])
    ]
    return shown


def _token(token: str) -> str:
    shown = visible(token)
    return shown if len(shown) <= _LONGEST_TOKEN else shown[:_LONGEST_TOKEN] + "…"


def _colour(value: float, limit: float) -> str:
    """The step of a value on the scale of its list: p1 to p7, n1 to n7, or nothing near 0."""
    if not math.isfinite(value):
        return "odd"
    step = round(_STEPS * min(1.0, abs(value) / limit)) if limit else 0
    return f"{'p' if value > 0 else 'n'}{step}" if step else ""
