"""The figures: what they draw is what pandas makes of the tables, and they are fit to print."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.text import Text
from PIL import Image
from synthetic import Synthetic, rewrite, write_synthetic

from pipeline.cli import main
from pipeline.errors import GatescopeError
from pipeline.figures import FIGURES, Drawing, Written, count_figures, draw, write_figures
from pipeline.figures.canvas import cloud, page
from pipeline.figures.classes import CLASS_ORDER
from pipeline.figures.lettering import drawable, folder_names, labels
from pipeline.figures.style import styled
from pipeline.naming import COMBO_NAMES, IO_CLASSES
from pipeline.query import open_dataset
from pipeline.schema import COSINES

ALONE = [name for name, kind in FIGURES.items() if not kind.of_models]
NEED_SCAN = ["gate_frequency", "gate_frequency_by_layer", "sign_frequencies", "output_norm"]
HOSTILE = ["$x^2$", "$\\frac{1}{0", "../..", "\x1b[31m\n日本🙂" * 30]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Synthetic]:
    """Datasets by what they are."""
    folder = tmp_path_factory.mktemp("figures")
    return {
        "gated": write_synthetic(folder / "gated", n_neurons=40, layers=(0, 1, 2), model="a/b"),
        "weights": write_synthetic(folder / "weights", scan=False, n_neurons=20, model="w"),
        "vanilla": write_synthetic(
            folder / "vanilla", scan=False, gated=False, n_neurons=20, model="v"
        ),
        "one": write_synthetic(folder / "one", n_neurons=1, layers=(3,), model="one"),
    }


@pytest.fixture(scope="module")
def written(
    made: dict[str, Synthetic], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Written]:
    """All figures of all of them, by dataset and name; those over models by `all`."""
    out = tmp_path_factory.mktemp("out")
    sources = [str(dataset.path) for dataset in made.values()]
    figures = list(write_figures(sources, out))
    assert len(figures) == count_figures(sources)
    names = dict(zip(sources, made, strict=True))
    return {
        (names[f.sources[0]] if len(f.sources) == 1 else "all", f.kind.name): f for f in figures
    }


def frame(dataset: Synthetic, table: str) -> pd.DataFrame:
    return pd.DataFrame(dataset.tables[table])


def csv_of(figure: Written, query: str = "") -> pd.DataFrame:
    suffix = f".{query}.csv" if query else ".csv"
    return pd.read_csv(figure.files[0].with_name(figure.kind.name + suffix))


def drawn(dataset: Synthetic, name: str) -> Drawing:
    with open_dataset(dataset.path) as opened:
        return draw(opened, name)


def clouds(drawing: Drawing) -> list[np.ndarray]:
    """The points of each visible panel, sorted."""
    found = []
    for axes in drawing.axes:
        for collection in axes.collections:
            if isinstance(collection, PathCollection):
                points = np.asarray(collection.get_offsets())
                found.append(points[np.lexsort(points.T[::-1])])
    return found


def sorted_points(x: Any, y: Any) -> np.ndarray:
    points = np.column_stack([x, y])
    return points[np.lexsort(points.T[::-1])]


def texts(drawing: Drawing) -> list[str]:
    found = [text.get_text() for text in drawing.findobj(Text) if text.get_visible()]
    return [text for text in found if text]


def gate_frequency(dataset: Synthetic) -> pd.DataFrame:
    stats = frame(dataset, "sign_stats")
    positive = stats[stats["gate_sign"] > 0].groupby(["layer", "neuron"])["count"].sum()
    n_tokens = stats["n_tokens"].iloc[0]
    found = frame(dataset, "neurons").set_index(["layer", "neuron"])
    return found.assign(gate_positive_frequency=positive / n_tokens).reset_index()


# What is written.


def test_every_figure_is_drawn_where_it_can_be(written: dict[tuple[str, str], Written]) -> None:
    needs = {key: figure.needs for key, figure in written.items() if figure.needs is not None}
    assert needs == {
        **{(name, figure): "a scan" for name in ("weights", "vanilla") for figure in NEED_SCAN},
        ("vanilla", "cosine_scatter"): "a model with a gate",
    }
    assert [key for key in written if key[0] == "all"] == [("all", "median_cosine_by_depth")]


def test_files_are_pictures_of_a_size_that_fits_a_page(
    written: dict[tuple[str, str], Written],
) -> None:
    for figure in written.values():
        if figure.needs is not None:
            assert figure.files == ()
            continue
        png, pdf, *numbers = figure.files
        assert [file.suffix for file in figure.files[:3]] == [".png", ".pdf", ".csv"]
        assert len(numbers) == len(figure.kind.queries)
        with Image.open(png) as picture:
            picture.verify()
            assert picture.format == "PNG"
            assert picture.width == 1440
            assert 500 < picture.height < 3000
        with Image.open(png) as picture:
            grey = np.asarray(picture.convert("L"))
        assert (grey < 250).mean() > 0.01, "an empty page"
        assert pdf.read_bytes().startswith(b"%PDF-")
        assert 5_000 < pdf.stat().st_size < 1_000_000
        assert all(file.stat().st_size > 0 for file in numbers)


def test_the_same_figure_is_the_same_bytes(made: dict[str, Synthetic], tmp_path: Path) -> None:
    source = str(made["weights"].path)
    first = [f.files for f in write_figures([source], tmp_path / "1")]
    again = [f.files for f in write_figures([source], tmp_path / "2")]
    pairs = zip(sum(first, ()), sum(again, ()), strict=True)
    assert all(one.read_bytes() == two.read_bytes() for one, two in pairs)


def test_a_csv_is_what_the_query_command_gives(
    made: dict[str, Synthetic],
    written: dict[tuple[str, str], Written],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    for key in (("gated", "sign_frequencies"), ("vanilla", "cosine_boxen")):
        figure = written[key]
        for query, file in zip(figure.kind.queries, figure.files[2:], strict=True):
            assert main(["query", figure.sources[0], query, "--format", "csv"]) == 0
            # A mean may differ in its last digit: it is that of several threads.
            printed = pd.read_csv(io.BytesIO(capfdbinary.readouterr().out))
            pd.testing.assert_frame_equal(pd.read_csv(file), printed, rtol=1e-14)


# The numbers, calculated apart.


def test_gate_frequency(
    made: dict[str, Synthetic], written: dict[tuple[str, str], Written]
) -> None:
    wanted = gate_frequency(made["gated"])
    columns = ["layer", "neuron", "cos_in_out", "gate_positive_frequency", "io_class"]
    for name in ("gate_frequency", "gate_frequency_by_layer"):
        pd.testing.assert_frame_equal(csv_of(written["gated", name]), wanted[columns])
    by_layer = [group for _, group in wanted.groupby("layer")]
    for name, parts in (("gate_frequency", [wanted]), ("gate_frequency_by_layer", by_layer)):
        found = clouds(drawn(made["gated"], name))
        for points, part in zip(found, parts, strict=True):
            expected = sorted_points(part["cos_in_out"], part["gate_positive_frequency"])
            np.testing.assert_allclose(points, expected, atol=1e-12)


def test_correlations_stand_in_the_titles(made: dict[str, Synthetic]) -> None:
    wanted = gate_frequency(made["gated"])
    parts = [wanted, *(group for _, group in wanted.groupby("layer"))]
    shown = []
    for part in parts:
        test = scipy.stats.pearsonr(part["cos_in_out"], part["gate_positive_frequency"])
        low, high = test.confidence_interval(0.95)
        numbers = [
            f"{round(x, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}") for x in (test[0], low, high)
        ]
        shown.append("r = {} [{}, {}]".format(*numbers))
    overall = texts(drawn(made["gated"], "gate_frequency"))
    assert any(shown[0] in text for text in overall)
    by_layer = texts(drawn(made["gated"], "gate_frequency_by_layer"))
    for layer, correlation in enumerate(shown[1:]):
        assert f"layer {layer}, n = 40\n{correlation}" in by_layer


def test_class_shares(made: dict[str, Synthetic], written: dict[tuple[str, str], Written]) -> None:
    neurons = frame(made["gated"], "neurons")
    wanted = pd.crosstab(neurons["layer"], neurons["io_class"], normalize="index")
    found = csv_of(written["gated", "class_shares"])
    table = found.pivot_table(index="layer", columns="io_class", values="share", fill_value=0.0)
    pd.testing.assert_frame_equal(table, wanted, check_names=False)
    axes = drawn(made["gated"], "class_shares").axes[0]
    tops = dict.fromkeys(wanted.index, 0.0)
    for io_class, container in zip(CLASS_ORDER, axes.containers, strict=True):
        heights = dict.fromkeys(wanted.index, 0.0)
        for bar in container.patches:
            layer = round(bar.get_x() + bar.get_width() / 2)
            heights[layer] = bar.get_height()
            assert bar.get_y() == pytest.approx(tops[layer])
            tops[layer] += bar.get_height()
            assert bar.get_height() > 0
        shares = wanted.get(io_class, pd.Series(0.0, wanted.index))
        assert heights == pytest.approx(shares.to_dict())
    assert tops == pytest.approx(dict.fromkeys(wanted.index, 1.0))


def test_classes_are_told_apart_in_print(made: dict[str, Synthetic]) -> None:
    assert sorted(CLASS_ORDER) == sorted(IO_CLASSES)
    axes = drawn(made["gated"], "class_shares").axes[0]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(reversed(CLASS_ORDER))
    looks = set()
    for io_class, patch in zip(reversed(CLASS_ORDER), legend.get_patches(), strict=True):
        assert bool(patch.get_hatch()) == io_class.startswith("atypical")
        looks.add((matplotlib.colors.to_hex(patch.get_facecolor()), bool(patch.get_hatch())))
    assert len(looks) == len(CLASS_ORDER)
    vanilla = drawn(made["vanilla"], "class_shares").axes[0].get_legend()
    assert vanilla is not None
    assert [text.get_text() for text in vanilla.get_texts()] == [
        "depletion",
        "orthogonal output",
        "enrichment",
    ]


def test_few_neurons_of_other_classes_are_shown_by_themselves(tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "few", scan=False, n_neurons=50, threshold=0.98)
    assert (frame(dataset, "neurons")["io_class"] == "orthogonal output").mean() > 0.6
    drawing = drawn(dataset, "class_shares")
    assert len(drawing.axes) == 2
    assert drawing.axes[1].get_ylabel() == "share of the others"
    assert drawing.axes[1].get_ylim()[1] < 0.5


def test_cosine_scatter(
    made: dict[str, Synthetic], written: dict[tuple[str, str], Written]
) -> None:
    wanted = frame(made["gated"], "neurons")
    columns = ["layer", "neuron", *COSINES, "io_class"]
    pd.testing.assert_frame_equal(csv_of(written["gated", "cosine_scatter"]), wanted[columns])
    drawing = drawn(made["gated"], "cosine_scatter")
    parts = [group for _, group in wanted.groupby("layer")]
    for axes, points, part in zip(drawing.axes, clouds(drawing), parts, strict=False):
        expected = sorted_points(part["cos_in_out"], part["cos_gate_out"])
        np.testing.assert_allclose(points, expected)
        (cloud_,) = (c for c in axes.collections if isinstance(c, PathCollection))
        colours = np.sort(np.asarray(cloud_.get_array()))
        np.testing.assert_allclose(colours, np.sort(part["cos_gate_in"]))
        squares = [p.get_bbox().extents for p in axes.patches if not p.get_fill()]
        np.testing.assert_allclose(squares, [[-0.12, -0.12, 0.12, 0.12]])
        lines = [np.unique(line.get_xdata()) for line in axes.lines]
        assert {float(x[0]) for x in lines if len(x) == 1} == {-0.5, 0.5}


def test_colours_of_cosines_of_both_signs_are_dark_in_the_middle(tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "s", scan=False, n_neurons=30, canonical_signs=False)
    axes = drawn(dataset, "cosine_scatter").axes[0]
    (points,) = (c for c in axes.collections if isinstance(c, PathCollection))
    assert (points.norm.vmin, points.norm.vmax) == (-1, 1)
    low, middle, high = (np.mean(points.get_cmap()(x)[:3]) for x in (0.0, 0.5, 1.0))
    assert middle < min(low, high)


def test_cosine_boxen(made: dict[str, Synthetic], written: dict[tuple[str, str], Written]) -> None:
    found = csv_of(written["gated", "cosine_boxen"])
    neurons = frame(made["gated"], "neurons")
    for row in found.itertuples():
        values = neurons.loc[neurons["layer"] == row.layer, row.cosine]
        assert row.quantile == pytest.approx(np.quantile(values, row.probability), abs=1e-12)
    drawing = drawn(made["gated"], "cosine_boxen")
    assert len(drawing.axes) == 3
    for axes, cosine in zip(drawing.axes, COSINES, strict=True):
        boxes = [p.get_bbox() for p in axes.patches if p.get_facecolor()[:3] != (0.0, 0.0, 0.0)]
        ends = {round(float(y), 9) for box in boxes for y in (box.y0, box.y1)}
        of_cosine = found[(found["cosine"] == cosine) & (found["probability"] != 0.5)]
        # A box has eight neurons beyond it, but for the one between the quartiles.
        tail = np.minimum(of_cosine["probability"], 1 - of_cosine["probability"])
        is_drawn = (tail * of_cosine["n_neurons"] >= 8) | (tail == 0.25)
        values = of_cosine.loc[is_drawn, "quantile"]
        assert {round(y, 9) for y in values} <= ends
        assert {-0.12, 0.12} <= ends, "the randomness region"
    assert len(drawn(made["vanilla"], "cosine_boxen").axes) == 1


def test_sign_frequencies(
    made: dict[str, Synthetic], written: dict[tuple[str, str], Written]
) -> None:
    stats = frame(made["gated"], "sign_stats")
    found = csv_of(written["gated", "sign_frequencies"])
    drawing = drawn(made["gated"], "sign_frequencies")
    for place, combo in enumerate(COMBO_NAMES):
        frequencies = stats.loc[stats["combo"] == combo, "frequency"]
        wanted, edges = np.histogram(frequencies, bins=np.arange(51) / 50)
        part = found[found["combo"] == combo]
        assert part["n_neurons"].tolist() == wanted.tolist()
        np.testing.assert_allclose(part["low"], edges[:-1])
        np.testing.assert_allclose(part["share"], wanted / len(frequencies))
        bars = drawing.axes[place].patches
        np.testing.assert_allclose([bar.get_height() for bar in bars], wanted / len(frequencies))
        by_layer = stats[stats["combo"] == combo].groupby("layer")["frequency"]
        (line,) = drawing.axes[4 + place].lines
        np.testing.assert_allclose(line.get_ydata(), by_layer.median())
    quartiles = csv_of(written["gated", "sign_frequencies"], "sign_frequencies")
    assert len(quartiles) == 4 * len(made["gated"].shape.layers)


def test_an_interval_holds_its_lower_end_however_it_is_rounded(tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "ends", layers=(0,), n_neurons=25)
    ends = np.concatenate([np.arange(50) / 50, np.arange(50) / 50 + 1e-9])

    def on_the_ends(table: Any) -> Any:
        column = table.schema.get_field_index("frequency")
        return table.set_column(column, table.schema.field(column), [ends])

    rewrite(dataset.path / "sign_stats/layer=0/part-0.parquet", on_the_ends)
    with open_dataset(dataset.path) as opened:
        found = opened.query("frequency_distribution").df()
        whole = opened.query("frequency_distribution", bins=1).df()
    assert found.groupby("low")["n_neurons"].sum().tolist() == [2] * 50
    assert whole["n_neurons"].tolist() == [25] * 4


def test_output_norm(made: dict[str, Synthetic], written: dict[tuple[str, str], Written]) -> None:
    both = frame(made["gated"], "sign_stats").merge(frame(made["gated"], "neurons"))
    both = both[both["count"] > 0]
    wanted = both.assign(mean_output_norm=both["mean_post"].abs() * both["norm_out"])
    columns = ["layer", "neuron", "combo", "frequency", "mean_output_norm", "io_class"]
    found = csv_of(written["gated", "output_norm"])
    order = ["layer", "neuron", "combo"]
    wanted = wanted[columns].sort_values(order).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted)
    for points, combo in zip(clouds(drawn(made["gated"], "output_norm")), COMBO_NAMES, strict=True):
        part = wanted[(wanted["combo"] == combo) & (wanted["mean_output_norm"] > 0)]
        expected = sorted_points(part["frequency"], part["mean_output_norm"])
        np.testing.assert_allclose(points, expected)


def test_the_mean_norm_is_that_of_what_is_written(made: dict[str, Synthetic]) -> None:
    """In a combination post has one sign, so that the mean of |post| is that of its magnitude."""
    stats = frame(made["gated"], "sign_stats").dropna()
    assert (np.sign(stats["mean_post"]) == stats["gate_sign"] * stats["in_sign"]).all()


def test_median_cosine_by_depth(
    made: dict[str, Synthetic], written: dict[tuple[str, str], Written]
) -> None:
    found = csv_of(written["all", "median_cosine_by_depth"])
    assert found["model"].unique().tolist() == ["a/b", "w", "v", "one"]
    for model, dataset in zip(("a/b", "w", "v", "one"), made.values(), strict=True):
        wanted = frame(dataset, "neurons").groupby("layer")["cos_in_out"].median()
        part = found[found["model"] == model]
        np.testing.assert_allclose(part["median_cos_in_out"], wanted)
        depth = wanted.index / max(dataset.manifest["model"]["n_layers"] - 1, 1)
        np.testing.assert_allclose(part["relative_depth"], depth)
    with open_dataset([dataset.path for dataset in made.values()]) as together:
        drawing = draw(together, "median_cosine_by_depth")
    lines = [line for line in drawing.axes[0].lines if not line.get_label().startswith("_")]
    for line, (_, part) in zip(lines, found.groupby("model", sort=False), strict=True):
        np.testing.assert_allclose(line.get_ydata(), part["median_cos_in_out"])
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == len(made)
    assert "a/b (n = 120)" in texts(drawing)


def test_neurons_without_a_cosine_are_left_out(tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "nan", layers=(0, 1), n_neurons=10)

    def some(table: Any) -> Any:
        column = table.schema.get_field_index("cos_in_out")
        values = [float("nan"), None, *[0.1] * 8]
        return table.set_column(column, table.schema.field(column), [values])

    rewrite(dataset.path / "neurons/layer=0/part-0.parquet", some)
    for name in ("gate_frequency_by_layer", "cosine_scatter"):
        drawing = drawn(dataset, name)
        assert [len(points) for points in clouds(drawing)] == [8, 10]
        titles = [axes.get_title("left").split("\n")[0] for axes in drawing.axes[:2]]
        assert titles == ["layer 0, n = 8", "layer 1, n = 10"]
    assert "r undefined" in drawn(dataset, "gate_frequency_by_layer").axes[0].get_title("left")


# What stands on the page.


@pytest.mark.parametrize("name", ALONE)
def test_axes_have_labels_and_panels_their_n(made: dict[str, Synthetic], name: str) -> None:
    drawing = drawn(made["gated"], name)
    title, subtitle, *_ = (text.get_text() for text in drawing.texts)
    assert title.startswith("a/b: ")
    assert subtitle.startswith("n = 120 neurons in 3 layers")
    shown = [axes for axes in drawing.axes if axes.get_visible() and axes.get_subplotspec()]
    for axes in shown:
        assert any(label(drawing, axes, "x") for axes in below(shown, axes))
        assert any(label(drawing, axes, "y") for axes in beside(shown, axes))
    if len(shown) > 1 and name not in ("class_shares", "cosine_boxen"):
        titles = [axes.get_title("left") for axes in shown]
        with_n = [title for title in titles if re.search(r"n = \d", title)]
        assert len(with_n) == (4 if name == "sign_frequencies" else len(shown))


def below(panels: list[Axes], axes: Axes) -> list[Axes]:
    """The panels of the same column."""
    column = spec(axes).colspan.start
    return [panel for panel in panels if spec(panel).colspan.start == column]


def beside(panels: list[Axes], axes: Axes) -> list[Axes]:
    """The panels of the same row."""
    row = spec(axes).rowspan.start
    return [panel for panel in panels if spec(panel).rowspan.start == row]


def spec(axes: Axes) -> Any:
    return axes.get_subplotspec()


def label(drawing: Drawing, axes: Axes, which: str) -> str:
    own = axes.get_xlabel() if which == "x" else axes.get_ylabel()
    return own or (drawing.get_supxlabel() if which == "x" else drawing.get_supylabel())


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("dataset", ["gated", "one"])
def test_nothing_reaches_over_the_edge_of_the_page(
    made: dict[str, Synthetic], name: str, dataset: str
) -> None:
    drawing = drawn(made[dataset], name)
    with styled():
        drawing.draw_without_rendering()
        box = drawing.get_tightbbox()  # of what is drawn, in inches
        small = [text for text in drawing.findobj(Text) if text.get_fontsize() < 6]
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= drawing.get_figwidth() + 0.01
    assert box.y1 <= drawing.get_figheight() + 0.01
    assert [text for text in small if text.get_text()] == []


@pytest.mark.parametrize("n_layers", [1, 4, 5, 33, 80])
def test_a_panel_for_each_layer_however_many(tmp_path: Path, n_layers: int) -> None:
    layers = tuple(range(n_layers))
    dataset = write_synthetic(tmp_path / "deep", scan=False, n_neurons=5, layers=layers)
    drawing = drawn(dataset, "cosine_scatter")
    shown = [axes for axes in drawing.axes if axes.get_visible() and axes.get_subplotspec()]
    assert [axes.get_title("left") for axes in shown] == [f"layer {i}, n = 5" for i in layers]
    assert drawing.get_figwidth() == pytest.approx(7.2)
    assert min(axes.bbox.width / drawing.dpi for axes in shown) > 0.9
    boxes = [axes.get_tightbbox() for axes in shown]
    for i, box in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert not box.padded(-6).overlaps(other.padded(-6))


def test_clouds_are_rasterised_and_their_dense_points_on_top() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5000))
    with styled():
        drawing, (axes,) = page("t", "s", height=2.0)
        points = cloud(axes, x, y)
        drawing.draw_without_rendering()
    assert points.get_rasterized()
    density = np.asarray(points.get_array())
    assert (np.diff(density) >= 0).all()
    radius = np.hypot(*np.asarray(points.get_offsets()).T)
    assert radius[:200].mean() > radius[-200:].mean() + 1


# Names that do harm elsewhere.


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_harmless(tmp_path: Path, name: str) -> None:
    dataset = write_synthetic(tmp_path / "data", scan=False, n_neurons=3, layers=(0,), model=name)
    out = tmp_path / "deep" / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = list(write_figures([str(dataset.path)], out))
    assert {f.kind.name for f in figures if f.needs is not None} == set(NEED_SCAN)
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in files if not path.is_relative_to(dataset.path)} == {
        file for figure in figures for file in figure.files
    }
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    assert re.fullmatch(r"[\w-][\w.-]*", folder.name)
    assert len(folder.name.encode()) <= 80
    with open_dataset(dataset.path) as opened:
        drawing = draw(opened, "class_shares")
    assert not drawing.texts[0].get_parse_math()
    assert len(drawing.texts[0].get_text()) < 80


def test_names_are_shortened_and_kept_apart() -> None:
    assert labels(["/models/gpt2/", "org/llama", "demo"]) == ["gpt2", "org/llama", "demo"]
    assert labels(["/a/gpt2", "/b/gpt2"]) == ["/a/gpt2", "/b/gpt2"]
    assert drawable("$x^2$\n日") == "$x^2$↵<U+65E5>"
    assert drawable("a" * 30 + "b" * 30) == "a" * 12 + "…" + "b" * 23
    assert folder_names(["org/a", "org-a", "ORG/A", "../.."]) == [
        "org-a",
        "org-a-2",
        "ORG-A-3",
        "unnamed",
    ]


def test_two_datasets_of_one_model_do_not_share_a_folder(
    made: dict[str, Synthetic], tmp_path: Path
) -> None:
    source = str(made["weights"].path)
    figures = list(write_figures([source, source], tmp_path))
    files = [file for figure in figures for file in figure.files]
    assert len(set(files)) == len(files)


# The user's own Matplotlib.


def test_no_setting_of_the_user_changes_a_figure(made: dict[str, Synthetic]) -> None:
    def bytes_of(name: str) -> bytes:
        picture = io.BytesIO()
        drawing = drawn(made["gated"], name)
        with styled():
            drawing.savefig(picture, format="png", dpi=40)
        return picture.getvalue()

    usual = [bytes_of(name) for name in ALONE]
    own = {
        "axes.facecolor": "red",
        "figure.dpi": 300,
        "font.family": "serif",
        "font.size": 30,
        "lines.linewidth": 9,
        "savefig.bbox": "tight",
        "text.usetex": True,
    }
    with matplotlib.rc_context(own):
        assert [bytes_of(name) for name in ALONE] == usual
        assert {key: matplotlib.rcParams[key] for key in own} == {**own, "font.family": ["serif"]}


def test_drawing_needs_no_pyplot_and_no_torch() -> None:
    code = (
        "import sys, pipeline.figures as f; "
        "print([m for m in ('matplotlib.pyplot', 'torch', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_notebook_shows_a_figure(made: dict[str, Synthetic]) -> None:
    drawing = drawn(made["gated"], "class_shares")
    with Image.open(io.BytesIO(drawing._repr_png_())) as picture:
        assert picture.width == 720
    assert list(drawing.numbers) == ["io_classes_by_layer"]


# Mistakes.


def test_mistakes_are_told(made: dict[str, Synthetic], tmp_path: Path) -> None:
    with (
        open_dataset(made["gated"].path) as opened,
        pytest.raises(GatescopeError, match="did you mean class_shares"),
    ):
        draw(opened, "class_share")
    with open_dataset([made["gated"].path, made["weights"].path]) as together:
        with pytest.raises(GatescopeError, match="several are open"):
            draw(together, "class_shares")
        draw(together.datasets["w"], "class_shares")
    with (
        open_dataset(made["weights"].path) as opened,
        pytest.raises(GatescopeError, match="figure output_norm needs a scan"),
    ):
        draw(opened, "output_norm")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(GatescopeError, match=r"--out: .*file.* cannot be written"):
        list(write_figures([str(made["weights"].path)], file / "out"))


def test_a_scan_of_no_tokens_has_nothing_to_draw(tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "empty", n_neurons=3, layers=(0,))

    def nothing(table: pa.Table) -> pa.Table:
        for name in ("n_tokens", "n_zero", "count", "frequency"):
            column = table.schema.get_field_index(name)
            values = pa.array([float("nan") if name == "frequency" else 0] * len(table))
            field = table.schema.field(column)
            table = table.set_column(column, field, values.cast(field.type))
        return table

    rewrite(dataset.path / "sign_stats/layer=0/part-0.parquet", nothing)
    figures = {f.kind.name: f for f in write_figures([str(dataset.path)], tmp_path / "out")}
    assert {name for name, figure in figures.items() if figure.needs} == set(NEED_SCAN)


def test_neurons_that_write_nothing_leave_empty_panels(tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "zero", n_neurons=3, layers=(0,))

    def zero(table: pa.Table) -> pa.Table:
        column = table.schema.get_field_index("norm_out")
        return table.set_column(column, table.schema.field(column), [[0.0] * len(table)])

    rewrite(dataset.path / "neurons/layer=0/part-0.parquet", zero)
    drawing = drawn(dataset, "output_norm")
    assert [axes.get_title("left") for axes in drawing.axes] == [f"{c}, n = 0" for c in COMBO_NAMES]


def test_the_command(
    made: dict[str, Synthetic],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(made["gated"].path.parent)
    out = tmp_path / "a folder"
    assert main(["figures", "gated", "vanilla", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "Drawing: 15 of 15 figures (100%)" in captured.err
    lines = [line.split() for line in captured.out.splitlines()]
    assert ["output_norm", ".png", ".pdf", ".csv", "frequency_and_output_norm"] in lines
    assert "gatescope query gated QUERY" in captured.out
    assert "gatescope query gated vanilla QUERY" in captured.out
    assert f"vanilla: not drawn, as they need a scan: {', '.join(NEED_SCAN)}\n" in captured.out
    assert (out / "a-b/class_shares.pdf").exists()
    assert (out / "v/cosine_boxen.png").exists()
    assert (out / "median_cosine_by_depth.csv").exists()
    assert main(["figures", "gated", "--out", ""]) == 2
    assert "--out is empty" in capsys.readouterr().err
    assert main(["figures", "gated", "--out", "s3://bucket/figures"]) == 2
    assert "--out s3://bucket/figures is a URL" in capsys.readouterr().err
    assert main(["figures", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_figures_go_to_a_folder_of_that_name_by_default(
    made: dict[str, Synthetic], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["figures", str(made["vanilla"].path)]) == 0
    assert (tmp_path / "figures/v/class_shares.png").exists()
