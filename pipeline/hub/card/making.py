"""How a dataset was made, what was counted in it and what was left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pipeline.config import from_dict, run_command, shell_line
from pipeline.hub.card.names import inline, linked

_SIGNS: Final = {
    True: "w_in and w_out of a neuron, and with them in and post, are negated where "
    "cos(w_gate, w_in) < 0, as both papers do (`flipped` in `neurons` says where)",
    False: "The signs of the weights are as the model has them",
}


def making_section(manifest: dict[str, Any]) -> str:
    """The section with the command, the model, the texts, versions and hardware."""
    model, corpus = manifest["model"], manifest.get("corpus") or {}
    hardware, packages = manifest["hardware"], manifest["packages"]
    of_model = [model.get(key) for key in ("architecture", "act_fn", "dtype")]
    of_corpus = [
        f"{corpus['n_examples']:,} examples" if corpus.get("n_examples") else None,
        f"{corpus['n_tokens']:,} tokens" if corpus.get("n_tokens") else None,
        f"fingerprint {inline(corpus['fingerprint'][:16])}" if corpus.get("fingerprint") else None,
    ]
    revision = f"revision {inline(model['revision'])}" if model.get("revision") else None
    processors = [hardware["processor"], *hardware["accelerators"]]
    rows = {
        "model": [linked(manifest, "model"), revision, *of_model],
        "texts": [linked(manifest, "corpus"), *of_corpus] if corpus else [],
        "code": [f"gatescope {manifest['code_version']}"],
        "versions": [f"{name} {version}" for name, version in packages.items()],
        "hardware": [inline(name) for name in processors],
        "finished": [manifest["finished"]],
    }
    lines = [
        f"| {name} | {', '.join(str(part) for part in parts if part)} |"
        for name, parts in rows.items()
        if parts
    ]
    return "\n".join(
        [
            "## How it was made",
            "",
            "```console",
            f"$ {_command(manifest)}",
            "```",
            "",
            "| | |",
            "|---|---|",
            *lines,
            "",
            "`manifest.json` has every setting, and the path and bytes of every file.",
        ]
    )


def _command(manifest: dict[str, Any]) -> str:
    config, revision = from_dict(manifest["config"]), manifest["model"].get("revision")
    if revision is not None:
        config = replace(config, model=replace(config.model, revision=revision))
    words = run_command(config)
    imported = manifest.get("imported")
    if imported:
        own = [word for word in words[2:] if not word.startswith(("output=", "model.", "corpus."))]
        words = ["gatescope", "import", imported["source"], config.output or ".", *own]
    # A line of Markdown's code holds whatever is printable; a name with a newline is not a line.
    return " ".join(shell_line(words).splitlines())


def left_out_section(manifest: dict[str, Any]) -> str:
    """The section of what was counted, what was left out, and what is missing."""
    scan, weights = manifest["config"]["scan"], manifest["config"]["weights"]
    corpus, model = manifest.get("corpus") or {}, manifest["model"]
    points = []
    n_layers = model.get("n_layers") or len(model["layers"])
    if len(model["layers"]) < n_layers:
        points.append(f"Of {n_layers} layers these: {', '.join(map(str, model['layers']))}")
    if "sign_stats" in manifest["tables"]:
        longest = manifest["config"]["corpus"]["max_length"]
        points += [
            "Every position of every example counts, padding never"
            if not scan["skip_bos"]
            else "Position 0 of every example is not counted, for it is an attention sink in most "
            "models; all others are, padding never",
            "A position where gate or in is exactly 0 is in no combination (`n_zero` counts them)",
            f"An example is a text's first {longest:,} tokens",
            f"Lists hold at most {scan['k']} examples, ranked by {', '.join(scan['rankings'])}: "
            "the one of largest magnitude within the combination first",
            "Of examples with the same 11 tokens up to the peak the best one is kept"
            if scan["dedupe"]
            else "Examples that repeat each other are all kept",
        ]
        points += [f"{n:,} texts were left out: {why}" for why, n in _skipped(corpus)]
    if model.get("gated", True):
        points.append(_SIGNS[scan["canonical_signs"]])
    if "weight_tokens" in manifest["tables"] and weights["k"]:
        points.append(f"Lists of `weight_tokens` hold {weights['k']} tokens")
    for one in manifest.get("missing") or []:
        what = f"`{one['table']}`"
        if one["columns"]:
            what = f"{', '.join(f'`{name}`' for name in one['columns'])} of {what}"
        points.append(f"Missing: {what} ({one['why']})")
    lines = "\n".join(f"- {point}." for point in points)
    return f"## What was counted, and what was left out\n\n{lines}"


def _skipped(corpus: dict[str, Any]) -> list[tuple[str, int]]:
    found = corpus.get("skipped") or {}
    return [(inline(why), n) for why, n in found.items() if isinstance(n, int) and n]
