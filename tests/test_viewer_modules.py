"""The viewer's modules by themselves, in Chromium: what they read and calculate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
from browsing import served, tab
from hostile import PIECES
from playwright.sync_api import Browser, Page
from synthetic import Synthetic, write_synthetic

from pipeline.schema import LAYER_TABLES


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("modules") / "ds", n_neurons=31, layers=(0, 4))


@pytest.fixture(scope="module")
def url(made: Synthetic) -> Iterator[str]:
    with served([made.path]) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    with tab(browser, url) as opened:
        yield opened.open("#/find")  # which reads nothing by itself


# Reads `what` of the dataset and gives it with the bytes and the requests that it took.
_READ = """async ([base, what, ...given]) => {
    const { openDataset } = await import("./data/dataset.js");
    const dataset = await openDataset(base, "ds");
    const wanted = await dataset[what](...given);
    return [wanted, dataset.bytesRead()];
}"""


def read(page: Page, what: str, *given: Any) -> Any:
    return page.evaluate(_READ, ["data/ds/", what, *given])[0]


def of_neuron(made: Synthetic, table: str, layer: int, neuron: int) -> list[dict[str, Any]]:
    """A neuron's rows by pyarrow, in the order of the file."""
    path = made.path / table / f"layer={layer}" / "part-0.parquet"
    rows = pq.ParquetFile(path).read().to_pylist()
    return [row for row in rows if row["neuron"] == neuron]


def same(found: Any, stored: Any) -> bool:
    return bool(
        found == (pytest.approx(stored, rel=1e-12) if isinstance(stored, float) else stored)
    )


@pytest.mark.parametrize("neuron", [0, 2, 3, 17, 30])
@pytest.mark.parametrize("what", ["signStats", "examples", "weightTokens"])
def test_rows_of_a_neuron(page: Page, made: Synthetic, what: str, neuron: int) -> None:
    table = {"signStats": "sign_stats", "weightTokens": "weight_tokens"}.get(what, what)
    stored = of_neuron(made, table, 4, neuron)
    found = read(page, what, 4, neuron)
    assert len(found) == len(stored) > 0
    for row, expected in zip(found, stored, strict=True):
        assert row.keys() == expected.keys() == set(LAYER_TABLES[table].names)
        assert all(same(row[name], expected[name]) for name in row)


def test_a_row_of_weights_and_of_the_corpus(page: Page, made: Synthetic) -> None:
    (stored,) = of_neuron(made, "neurons", 0, 30)
    assert read(page, "neuronRow", 0, 30) == stored
    assert read(page, "neuronRow", 0, 31) is None
    for example in (0, 11, 12, 23):
        expected = made.tables["corpus"][example]
        assert read(page, "example", example) == expected
        source = {name: expected[name] for name in ("example_id", "n_tokens", "url")}
        assert read(page, "exampleSource", example) == source


def test_ranges_are_fetched_together_and_once(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.headers.get("range", "")))
    found = page.evaluate("""async () => {
        const { Ranges } = await import("./data/ranges.js");
        const manifest = await (await fetch("data/ds/manifest.json")).json();
        const [file] = manifest.files.examples;
        const ranges = new Ranges(new URL("data/ds/", location.href).href);
        const whole = new Uint8Array(
            await (await fetch(`data/ds/${file.path}`)).arrayBuffer());
        const slice = async (a, b) =>
            new Uint8Array(await ranges.slice(file.path, file.bytes, a, b));
        const same = (part, a, b) =>
            part.length === b - a && part.every((byte, i) => byte === whole[a + i]);
        const spans = [[0, 4], [2, 90], [1000, 1010], [90, 100], [7, 7],
            [file.bytes - 4, file.bytes]];
        const parts = await Promise.all(spans.map(([a, b]) => slice(a, b)));
        const again = await slice(1001, 1009);
        const fresh = await Promise.all([slice(60000, 60001), slice(60001, 60002)]);
        return [parts.map((part, i) => same(part, ...spans[i])), same(again, 1001, 1009),
            fresh.map((part, i) => same(part, 60000 + i, 60001 + i)), file.bytes, ranges.bytesRead];
    }""")
    parts, again, fresh, size, n_bytes = found
    assert parts == [True] * 6
    assert again
    assert fresh == [True, True]
    ranges = [one for one in asked if one]
    assert size > 100_000  # else the end is too near to the start to be fetched apart
    assert ranges == ["bytes=0-1009", f"bytes={size - 4}-{size - 1}", "bytes=60000-60001"]
    assert n_bytes == 1010 + 4 + 2


SAMPLES = {
    "normal": (lambda rng: rng.normal(size=200), lambda rng, x: x + rng.normal(size=200)),
    "ties": (lambda rng: rng.integers(0, 5, 100), lambda rng, x: -x + rng.integers(0, 3, 100)),
    "few": (lambda rng: rng.normal(size=4), lambda rng, x: rng.normal(size=4)),
    "far from zero": (lambda rng: 1e9 + rng.normal(size=9), lambda rng, x: x + rng.normal(size=9)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_correlations(page: Page, name: str) -> None:
    rng = np.random.default_rng(5)
    first, second = SAMPLES[name]
    x = np.asarray(first(rng), float)
    y = np.asarray(second(rng, x), float)
    found = page.evaluate(
        """async ([x, y]) => (await import("./statistics.js")).correlation(
            Float64Array.from([...x, NaN, 1]), Float64Array.from([...y, 1, Infinity]))""",
        [x.tolist(), y.tolist()],
    )
    assert found["n"] == len(x)
    pearson = scipy.stats.pearsonr(x, y)
    assert found["pearson"] == pytest.approx(pearson.statistic, abs=1e-9)
    interval = pearson.confidence_interval()
    assert [found["pearsonLow"], found["pearsonHigh"]] == pytest.approx(interval, abs=1e-9)
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-9)


def test_correlations_that_are_none(page: Page) -> None:
    for x, y in (([], []), ([1], [1]), ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])):
        found = page.evaluate(
            "async ([x, y]) => (await import('./statistics.js')).correlation(x, y)", [x, y]
        )
        assert found["pearson"] is None
        assert found["spearman"] is None


def test_quantiles(page: Page) -> None:
    values = np.random.default_rng(1).normal(size=101).tolist()
    found = page.evaluate(
        """async (values) => [...(await import("./statistics.js")).quantiles(
            Float64Array.from([...values, NaN]), [0, 0.025, 0.25, 0.5, 1])]""",
        values,
    )
    assert found == pytest.approx(np.quantile(values, [0, 0.025, 0.25, 0.5, 1]).tolist())


NAMES = ("silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "relu", "quick_gelu", "tanh")


@pytest.mark.parametrize("name", NAMES)
def test_activation_functions_are_the_models(page: Page, name: str) -> None:
    import torch
    from transformers.activations import ACT2FN

    gate = np.linspace(-12, 12, 241)
    found = page.evaluate(
        """async ([name, gate]) => {
            const act = (await import("./activation.js")).activationOf(name);
            return gate.map((value) => act(value));
        }""",
        [name, gate.tolist()],
    )
    expected = ACT2FN[name](torch.tensor(gate)).numpy()
    assert found == pytest.approx(expected.tolist(), abs=1e-7)


def test_an_activation_function_that_is_unknown(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const { activationOf } = await import("./activation.js");
            const names = ["nothing", "constructor", "__proto__", ""];
            return names.map((name) => activationOf(name) ?? null);
        }"""
    )
    assert found == [None] * 4


@pytest.mark.parametrize(
    ("value", "share", "plain"),
    [(0, "0.00%", "0.000"), (1, "100.00%", "1.000"), (1e-9, "<0.01%", "1.00e−9"),
     (0.99999, ">99.99%", "1.000"), (-0.12345, "", "−0.123"), (1234567, "", "1.23e6")],
)  # fmt: skip
def test_numbers(page: Page, value: float, share: str, plain: str) -> None:
    found = page.evaluate(
        """async (value) => {
            const { percent, short } = await import("./numbers.js");
            return [percent(value), short(value)];
        }""",
        value,
    )
    assert found[1] == plain
    if share:
        assert found[0] == share


def test_steps_of_a_scale(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const { STEPS, limitOf, stepOf, colourClass } = await import("./colour.js");
            return [STEPS, limitOf([1, -3, NaN, Infinity, null]),
                [3, -3, 0, 1e-9, -1e-9, 1.5].map((value) => stepOf(value, 3)),
                [NaN, Infinity, -Infinity, null].map((value) => colourClass(value, 3)),
                stepOf(0, 0)];
        }"""
    )
    n, limit, steps, odd, none = found
    assert limit == 3
    assert steps[:3] == [n, -n, 0]
    assert -n < steps[4] <= 0 <= steps[3] < steps[5] < n
    assert len(set(odd)) == 1
    assert none == 0


def test_example_files_are_read_in_pieces(page: Page, made: Synthetic) -> None:
    """Of a neuron's lists only its pages are fetched, not the file."""
    size = (made.path / "examples/layer=4/part-0.parquet").stat().st_size
    _, n_bytes = page.evaluate(_READ, ["data/ds/", "examples", 4, 17])
    assert n_bytes < size / 2


TOKENS: dict[str, tuple[list[bytes | None], list[str]]] = {
    "a character over two tokens": (list(PIECES[:2]), ["🙂", "‥"]),
    "one over two, after a letter": ([b"a\xe2", b"\x80\x99s"], ["a’", "‥s"]),
    "bytes that are none": ([b"\xff", b"\xc3", b"x"], ["<0xFF>", "<0xC3>", "x"]),
    "an emoji sequence": (
        ["👩".encode(), "\u200d".encode(), "🚀".encode()],
        ["👩\u200d🚀", "‥", "‥"],
    ),
    "a flag over two tokens": (["🇩".encode(), "🇪".encode()], ["🇩🇪", "‥"]),
    "Hebrew, letter by letter": (["ש".encode(), "ל".encode()], ["ש", "ל"]),
    "text that looks like bytes": ([b"<0xE2>"], ["<0xE2>"]),
    "nothing": ([b""], ["∅"]),
    "an id without bytes": ([None], ["<unused 0>"]),
    "controls": ([b"\n\t\r\x00\x7f"], ["↵⇥␍␀␡"]),
    "bidi controls": (["\u202eabc".encode()], ["<U+202E>abc"]),
    "a real U+FFFD": (["\ufffd".encode()], ["\ufffd"]),
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_as_a_person_reads_them(page: Page, name: str) -> None:
    bytes_, expected = TOKENS[name]
    shown = page.evaluate(
        """async (bytes) => {
            const { tokenPieces } = await import("./tokens.js");
            const vocab = {
                bytes: (id) => bytes[id] && new Uint8Array(bytes[id]),
                text: (id) => `<unused ${id}>`,
            };
            return tokenPieces(bytes.map((_, id) => id), vocab);
        }""",
        [None if raw is None else list(raw) for raw in bytes_],
    )
    assert ["".join(piece.get("text", "") for piece in pieces) for pieces in shown] == expected
