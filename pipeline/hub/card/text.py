"""What a card says in sentences: what a dataset is, its limits, whom to cite."""

from __future__ import annotations

from typing import Any, Final

from pipeline.citations import BIBTEX
from pipeline.hub.card.names import inline, linked

_SCANNED: Final = """\
# {title}

For each of {n_neurons:,} MLP neurons of {model}: how often each of the four sign combinations of
its gate and in activations occurs{corpus}, what its activations are there, and which texts show it
best{weights}. It was {made} with [Gatescope](https://pypi.org/project/gatescope/).
"""
_WEIGHTS: Final = """\
# {title}

For each of {n_neurons:,} MLP neurons of {model}, what its weights say: cosines, norms,
input-output functionality, and the tokens that it reads and writes most. There was no scan, so it
has no activations. It was {made} with [Gatescope](https://pypi.org/project/gatescope/).
"""
_LIMITS: Final = """\
## Limits

{points}
"""
CITATIONS: Final = f"""\
## Citation

The definitions are those of two papers; please cite them.

```bibtex
{BIBTEX}```
"""


def introduction(manifest: dict[str, Any]) -> str:
    """The title and the first paragraph."""
    corpus, name = manifest.get("corpus") or {}, manifest["model"]["name"]
    n_tokens = f"{corpus['n_tokens']:,} tokens of " if corpus.get("n_tokens") else ""
    facts = {
        "title": f"Neurons of {inline(name)}" if name else "Neurons of a language model",
        "model": linked(manifest, "model"),
        "n_neurons": manifest["tables"]["neurons"],
        "corpus": f" over {n_tokens}{linked(manifest, 'corpus')}" if corpus else "",
        "weights": ", and what its weights say" if "weight_tokens" in manifest["tables"] else "",
        "made": "imported" if manifest.get("imported") else "made",
    }
    return (_SCANNED if "sign_stats" in manifest["tables"] else _WEIGHTS).format(**facts)


def limits_section(manifest: dict[str, Any]) -> str:
    """The section of what the numbers do not say."""
    points = []
    if "sign_stats" in manifest["tables"]:
        has_random = "random" in manifest["config"]["scan"]["rankings"]
        n_tokens = (manifest.get("corpus") or {}).get("n_tokens")
        if n_tokens:
            points.append(
                f"A combination that never occurs in these {n_tokens:,} tokens may occur "
                f"elsewhere: were tokens independent, up to {3 / n_tokens:.1g} of the time (95%)"
            )
        points += [
            "Frequencies, means and lists are of this corpus; another one gives others",
            "The lists show extremes, not the usual case"
            + ("; those of `random` are an unbiased sample" if has_random else ""),
            "The texts were written by others, may be wrong, private or offensive, and are under "
            "their own licence; windows of `examples` are excerpts of them",
        ]
    points += [
        f"Values are those of a model in {manifest['model'].get('dtype') or 'its dtype'}; other "
        "hardware and versions round otherwise, and examples of nearly equal score change places",
        "Cosines and norms are of the weights with the gain of the norm beside them folded in; "
        "they say what a neuron could do, not how often it does",
        "The licence is that of the model and of the texts: see both before passing this on",
    ]
    return _LIMITS.format(points="\n".join(f"- {point}." for point in points))
