"""The card of a static Space, which holds the viewer's pages and reads a dataset beside it."""

from __future__ import annotations

from typing import Any

from huggingface_hub import SpaceCardData

from pipeline.hub.card.names import inline, one_line


def space_card(manifest: dict[str, Any], repo_id: str) -> str:
    """The `README.md` of the Space of the dataset `repo_id`."""
    name = manifest["model"]["name"] or "a language model"
    head = SpaceCardData(
        title=f"Neurons of {one_line(name)}",
        emoji="🔭",
        colorFrom="blue",
        colorTo="indigo",
        sdk="static",
        app_file="index.html",
        pinned=False,
        license="mit",
        datasets=[repo_id],
        tags=["interpretability", "neurons", "gatescope"],
        short_description="Every gated neuron: signs, texts and weights",
    ).to_yaml()
    return (
        f"---\n{str(head).strip()}\n---\n\n"
        f"The pages of [Gatescope](https://pypi.org/project/gatescope/) for every MLP neuron of "
        f"{inline(name)}.\nThey read the dataset "
        f"[{repo_id}](https://huggingface.co/datasets/{repo_id}) as it is, by byte ranges;\n"
        "`datasets.json` says where it is, and may name others too.\n"
    )
