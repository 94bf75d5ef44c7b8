"""The figures of datasets that lack something: what can be drawn is, the rest is named with why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from partial import NO_MODEL, write_gaps, write_imported, write_without_texts
from synthetic import write_synthetic

from pipeline.cli import main
from pipeline.errors import GatescopeError
from pipeline.figures import FIGURES, Drawing, draw, write_figures
from pipeline.query import open_dataset

SIZE = {"n_neurons": 12, "layers": (0, 1)}


def needs(path: Path, out: Path) -> dict[str, str | None]:
    """What each figure needs and the dataset has not."""
    return {one.kind.name: one.needs for one in write_figures([str(path)], out)}


def drawn(path: Path, name: str) -> Drawing:
    with open_dataset(path) as opened:
        return draw(opened, name)


def test_without_a_model_frequencies_are_drawn(tmp_path: Path) -> None:
    path = write_imported(tmp_path / "ds", **SIZE).path
    cosines = f"cosines of the weights ({NO_MODEL})"
    assert needs(path, tmp_path / "out") == {
        "sign_frequencies": None,
        "class_shares": f"classes of the neurons ({NO_MODEL})",
        "output_norm": f"norms of the weights ({NO_MODEL})",
        "gate_frequency": cosines,
        "gate_frequency_by_layer": cosines,
        "cosine_scatter": cosines,
        "cosine_boxen": cosines,
        "median_cosine_by_depth": cosines,
    }
    assert (tmp_path / "out/ds/sign_frequencies.png").exists()
    subtitle = drawn(path, "sign_frequencies").texts[1].get_text()
    assert subtitle.startswith("n = 24 neurons in 2 layers;")
    with pytest.raises(GatescopeError, match=re.escape("class_shares needs classes of the neuro")):
        drawn(path, "class_shares")


@pytest.mark.parametrize("kind", ["filled", "without texts"])
def test_all_are_drawn_where_only_texts_or_windows_are_missing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ds"
    if kind == "filled":
        write_imported(path, corpus=True, n_unfilled=5, **SIZE)
    else:
        write_without_texts(path, **SIZE)
    for name in FIGURES:
        assert drawn(path, name).numbers


def test_neurons_without_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_gaps(tmp_path / "ds", n_gaps=3, **SIZE).path
    # Of twelve in a layer three have no weights, and one has no frequencies.
    counted = {
        "gate_frequency": 16,
        "gate_frequency_by_layer": 16,
        "class_shares": 18,
        "cosine_scatter": 18,
        "cosine_boxen": 18,
        "output_norm": 16,
        "sign_frequencies": 22,
    }
    for name, n in counted.items():
        subtitle = drawn(path, name).texts[1].get_text()
        assert subtitle.startswith(f"n = {n} of 24 neurons in 2 layers"), name
    assert {name for name, kind in FIGURES.items() if not kind.of_models} == counted.keys()
    shares = drawn(path, "class_shares").axes[0]
    heights = [patch.get_height() for patch in shares.patches]
    assert sum(heights) == pytest.approx(2 * 9 / 12)


def test_models_without_cosines_are_counted(tmp_path: Path) -> None:
    bare = write_imported(tmp_path / "bare", **SIZE).path
    whole = write_synthetic(tmp_path / "whole", model="a/b", **SIZE).path
    with open_dataset([bare, whole]) as together:
        drawing = draw(together, "median_cosine_by_depth")
    assert "1 of 2 models have no cosines" in drawing.texts[1].get_text()
    legend = drawing.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a/b (n = 24)"]


def test_the_command_says_what_is_not_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_imported(tmp_path / "ds", **SIZE).path
    assert main(["figures", str(path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    why = f"not drawn, as they need cosines of the weights ({NO_MODEL}): gate_frequency, "
    assert f"{path}: {why}" in said
    assert "sign_frequencies" in said
