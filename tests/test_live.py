"""A text that a person types: what is refused, how the model is shared, and that numbers agree."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from starlette.testclient import TestClient
from tiny_models import ARCHITECTURES, build, byte_level_tokenizer, save

import pipeline
from pipeline.cli import main
from pipeline.dataset_model import load_again, load_live_model
from pipeline.errors import GatescopeError
from pipeline.naming import QUANTITIES
from pipeline.query.source import Source
from pipeline.view.live import (
    MAX_BODY,
    MAX_CHARACTERS,
    MAX_TOKENS,
    MAX_WAITING,
    N_STRONGEST,
    LiveModel,
    Reactions,
)
from pipeline.view.serve import ServedDataset, viewer_app

LAYERS = (1, 3)
URL = "/data/demo/live"
OWN = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def output(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two layers of the built-in model."""
    output = tmp_path_factory.mktemp("live") / "demo"
    settings = ["model.layers=[1,3]", "corpus.max_tokens=2000", "scan.k=2", "scan.spare=2"]
    corpus = ["corpus=local", f"corpus.path={texts}", "corpus.max_length=512", "weights.k=0"]
    assert main(["run", *settings, *corpus, f"output={output}"]) == 0
    return output


@pytest.fixture(scope="module")
def dataset(output: Path) -> Iterator[pipeline.Dataset]:
    with pipeline.open(output) as opened:
        yield opened


@pytest.fixture(scope="module")
def running(dataset: pipeline.Dataset) -> LiveModel:
    return load_live_model(dataset, None)


def client_of(model: LiveModel, folder: Path | None = None) -> TestClient:
    source = Source("demo", str(folder or "/nowhere"), None, {"tables": {}}, {}, {}, (), ())
    app = viewer_app([ServedDataset("demo", source, model)], "127.0.0.1")
    return TestClient(app, base_url=OWN)


@pytest.fixture(scope="module")
def client(running: LiveModel) -> TestClient:
    return client_of(running)


def asked(client: TestClient, **question: Any) -> dict[str, Any]:
    response = client.post(URL, json=question)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return dict(response.json())


# Numbers.


def test_stored_examples(dataset: pipeline.Dataset, client: TestClient) -> None:
    """The text of a stored example, typed, gives what was stored."""
    rows = dataset.sql(
        'select layer, neuron, position, window_start, post_value, gate, "in", input_ids, text'
        " from examples join corpus using (example_id)"
        " order by hash(layer, neuron, combo, ranking, rank) limit 60"
    ).fetchall()
    flipped = dataset.sql("select count(*) from neurons where flipped").fetchall()[0][0]
    assert flipped > 0
    n_compared = 0
    for layer, neuron, position, start, post, gate, in_, input_ids, text in rows:
        found = asked(client, text=text[:MAX_CHARACTERS], layer=layer, neuron=neuron)
        tokens = [token["token_id"] for token in found["tokens"]]
        # The text is cut, and its last token may be another one.
        n = len(tokens) - 1 if len(text) > MAX_CHARACTERS else len(tokens)
        assert tokens[:n] == input_ids[:n]
        assert [token["position"] for token in found["tokens"]] == list(range(len(tokens)))
        window = slice(start, min(start + len(gate), n))
        stored = slice(0, max(window.stop - start, 0))
        np.testing.assert_allclose(found["gate"][window], gate[stored], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found["in"][window], in_[stored], rtol=1e-4, atol=1e-4)
        if position < n:
            np.testing.assert_allclose(found["post"][position], post, rtol=1e-4, atol=1e-4)
            n_compared += 1
    assert n_compared > 20


def test_a_fresh_forward(dataset: pipeline.Dataset, client: TestClient) -> None:
    text = "Return the current column.\n\tTab positions: \u65e5\u672c \U0001f600"
    model = load_again(dataset.manifest, None)
    flips = dict(dataset.sql("select neuron, flipped from neurons where layer = 3").fetchall())
    one_flipped = min(neuron for neuron, is_flipped in flips.items() if is_flipped)
    one_as_it_is = min(neuron for neuron, is_flipped in flips.items() if not is_flipped)
    for neuron in (one_flipped, one_as_it_is):
        found = asked(client, text=text, layer=3, neuron=neuron)
        ids = [token["token_id"] for token in found["tokens"]]
        ((gate, in_, post),) = model.columns(ids, [(3, neuron)])
        sign = -1 if flips[neuron] else 1
        act = model.act_fns[3](gate)
        for name, wanted in (
            ("gate", gate),
            ("in", sign * in_),
            ("act", act),
            ("post", sign * post),
        ):
            np.testing.assert_allclose(found[name], wanted.numpy(), rtol=1e-5, atol=1e-6)
        assert found["cut"] is False


def test_the_neurons_that_react_most(dataset: pipeline.Dataset, client: TestClient) -> None:
    text = "Return the current column and the given tab size."
    found = asked(client, text=text, layer=1)
    ids = [token["token_id"] for token in found["tokens"]]
    flips = dataset.sql("select flipped from neurons where layer = 1 order by neuron").fetchall()
    model = load_again(dataset.manifest, None)
    columns = model.columns(ids, [(1, neuron) for neuron in range(len(flips))])
    # Position 0 is left out, as in the dataset.
    best = sorted(
        (-max(abs(p) for p in post[1:].tolist()), n) for n, (_, _, post) in enumerate(columns)
    )
    assert len(found["neurons"]) == N_STRONGEST
    assert {row["neuron"] for row in found["neurons"]} == {n for _, n in best[:N_STRONGEST]}
    sizes = [abs(row["post"]) for row in found["neurons"]]
    assert sizes == sorted(sizes, reverse=True)
    np.testing.assert_allclose(sizes, [-size for size, _ in best[:N_STRONGEST]], rtol=1e-4)
    for row in found["neurons"]:
        gate, in_, post = (column[row["position"]].item() for column in columns[row["neuron"]])
        sign = -1 if flips[row["neuron"]][0] else 1
        np.testing.assert_allclose(
            [row["gate"], row["in"], row["post"]],
            [gate, sign * in_, sign * post],
            rtol=1e-4,
            atol=1e-5,
        )
        np.testing.assert_allclose(row["act"] * row["in"], row["post"], rtol=1e-4, atol=1e-6)
        assert row["position"] > 0


def test_a_long_text_is_cut(client: TestClient) -> None:
    text = "a b c d " * (MAX_CHARACTERS // 8)
    found = asked(client, text=text, layer=3, neuron=0)
    assert found["cut"] is True
    assert len(found["tokens"]) == len(found["gate"]) == MAX_TOKENS
    shorter = asked(client, text=text[:100], layer=3, neuron=0)
    assert shorter["cut"] is False
    n = len(shorter["tokens"]) - 1
    assert found["tokens"][:n] == shorter["tokens"][:n]
    np.testing.assert_allclose(found["post"][:n], shorter["post"][:n], rtol=1e-4, atol=1e-5)


def test_weights_alone(tmp_path: Path) -> None:
    """Nothing of it needs a scan."""
    output = tmp_path / "weights"
    assert main(["run", "scan=none", "weights.k=0", "model.layers=[2]", f"output={output}"]) == 0
    with pipeline.open(output) as opened:
        client = client_of(load_live_model(opened, "demo"))
    assert len(asked(client, text="a text", layer=2)["neurons"]) == N_STRONGEST
    assert client.post(URL, json={"text": "a text", "layer": 0}).status_code == 400


# A stand-in for the model: what it gives is what the test says.


def stand_in(
    n_neurons: int = 3, react: Callable[[list[int], int], Reactions] | None = None
) -> LiveModel:
    def zeros(token_ids: list[int], layer: int) -> Reactions:
        return Reactions(*[np.zeros((len(token_ids), n_neurons), np.float32)] * 4)

    def encode(text: str) -> tuple[list[int], bool]:
        return list(text.replace("?", "").encode()), False

    flipped = {layer: np.arange(n_neurons) % 2 == 1 for layer in LAYERS}
    return LiveModel(encode, react or zeros, flipped, skip_bos=True)


def given(gate: Any, in_: Any, post: Any) -> Callable[[list[int], int], Reactions]:
    arrays = [np.asarray(values, dtype=np.float32) for values in (gate, in_, gate, post)]
    return lambda token_ids, layer: Reactions(*arrays)


def test_what_is_not_finite_is_null() -> None:
    values = [[1.0, 2.0], [np.nan, np.inf]]
    client = client_of(stand_in(2, given(values, values, values)))
    found = asked(client, text="ab", layer=1, neuron=1)
    assert {name: found[name] for name in QUANTITIES} == {
        "gate": [2.0, None],
        "in": [-2.0, None],
        "act": [2.0, None],
        "post": [-2.0, None],
    }
    strongest = asked(client, text="ab", layer=1)["neurons"]
    assert [row["neuron"] for row in strongest] == [1, 0]
    assert strongest[0]["post"] is None


def test_position_0_is_a_peak_where_the_dataset_has_it() -> None:
    post = [[9.0, 0.0], [1.0, -2.0]]
    model = stand_in(2, given(post, post, post))
    found = asked(client_of(model), text="ab", layer=1)["neurons"]
    assert [(row["neuron"], row["position"], row["post"]) for row in found] == [
        (1, 1, 2.0),
        (0, 1, 1.0),
    ]
    found = asked(client_of(replace(model, skip_bos=False)), text="ab", layer=1)["neurons"]
    assert [(row["neuron"], row["position"]) for row in found] == [(0, 0), (1, 1)]


# What is refused.

SOUND = {"text": "a text", "layer": 1, "neuron": 2}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": ""}, "text is empty"),
        ({"text": None}, "text is empty or no text"),
        ({"text": ["a"]}, "text is empty or no text"),
        ({"text": "x" * (MAX_CHARACTERS + 1)}, "2,001 characters"),
        ({"text": "a\ud800b"}, "surrogate"),
        ({"text": "\udc00"}, "surrogate"),
        ({"text": "??"}, "no token"),
        ({"text": "a", "neuron": None}, "position 0"),
        ({"layer": 0}, r"the dataset's layers \(1, 3\)"),
        ({"layer": -1}, "layers"),
        ({"layer": True}, "layers"),
        ({"layer": 1.0}, "layers"),
        ({"layer": "1"}, "layers"),
        ({"layer": [1]}, "layers"),
        ({"layer": 10**30}, "layers"),
        ({"neuron": 3}, "whose last is 2"),
        ({"neuron": -1}, "neuron"),
        ({"neuron": False}, "neuron"),
        ({"neuron": 1.0}, "neuron"),
        ({"neuron": "1"}, "neuron"),
        ({"neurn": 1}, "no object with text, layer"),
    ],
)
def test_a_question_without_sense(changed: dict[str, Any], said: str) -> None:
    response = client_of(stand_in()).post(
        URL, content=json.dumps(SOUND | changed), headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert re.search(said, response.json()["error"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"text"',
        b"{}",
        b'{"text": "a"}',
        b'{"layer": 1}',
        b'{"text": "\xff", "layer": 1}',
        '{"text": "a", "layer": 1}'.encode("utf-16"),
        b'{"text": "a", "layer": NaN}',
        b'{"text": "a", "layer": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
)
def test_a_body_without_sense(body: bytes) -> None:
    response = client_of(stand_in()).post(
        URL, content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]


def test_a_body_that_is_too_long() -> None:
    client = client_of(stand_in())
    headers = {"content-type": "application/json"}
    long = json.dumps(SOUND | {"text": "x" * MAX_BODY}).encode()
    n_sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal n_sent
        for _ in range(1000):
            n_sent += 1
            yield b" " * 1024

    for content in (long, pieces()):
        response = client.post(URL, content=content, headers=headers)
        assert response.status_code == 413
        assert "65536 bytes" in response.json()["error"]
    lying = client.post(URL, content=b"{}", headers=headers | {"content-length": "9" * 30})
    assert lying.status_code == 413


def test_who_may_ask() -> None:
    client = client_of(stand_in())
    body = json.dumps(SOUND)
    sound = {"content-type": "application/json; charset=utf-8", "origin": OWN}
    assert client.post(URL, content=body, headers=sound).status_code == 200
    for origin in ("http://evil.example", "null", "", "http://127.0.0.1:9000", "http://["):
        refused = client.post(URL, content=body, headers=sound | {"origin": origin})
        assert refused.status_code == 403, origin
        assert "another site" in refused.json()["error"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = client.post(URL, content=body, headers=sound | {"content-type": kind})
        assert refused.status_code == 415, kind
    assert client.get(URL).status_code == 404
    assert client.options(URL).status_code == 405
    assert client.post("/data/other/live", json=SOUND).status_code == 404


# One at a time.


class Gate:
    """A model that works until it is let go, and keeps what it was given."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Event()
        self.lengths: list[int] = []
        self.n_inside = self.most_inside = 0

    def react(self, token_ids: list[int], layer: int) -> Reactions:
        self.n_inside += 1
        self.most_inside = max(self.most_inside, self.n_inside)
        self.lengths.append(len(token_ids))
        self.begun.set()
        assert self.open.wait(60)
        time.sleep(0.01)
        self.n_inside -= 1
        return Reactions(*[np.zeros((len(token_ids), 3), np.float32)] * 4)


def test_one_runs_a_few_wait_and_more_are_sent_away(tmp_path: Path) -> None:
    gate = Gate()
    (tmp_path / "manifest.json").write_text("{}")
    with client_of(stand_in(3, gate.react), tmp_path) as client, ThreadPoolExecutor(8) as pool:

        def ask(n: int) -> Any:
            return client.post(URL, json=SOUND | {"text": "x" * n})

        first = pool.submit(ask, 1)
        try:
            assert gate.begun.wait(20)
            others = [pool.submit(ask, n) for n in range(2, 7)]
            # As many as may not wait come back at once, while the first still runs.
            deadline = time.monotonic() + 20
            while sum(f.done() for f in others) < len(others) - MAX_WAITING:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            # And files are read meanwhile.
            assert client.get("/data/demo/manifest.json").text == "{}"
            assert not first.done()
        finally:
            gate.open.set()
        answers = [future.result() for future in (first, *others)]
        assert ask(9).status_code == 200
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * (1 + MAX_WAITING) + [503] * (len(others) - MAX_WAITING)
    (busy, *_) = [answer for answer in answers if answer.status_code == 503]
    assert "try again" in busy.json()["error"]
    assert busy.headers["retry-after"] == "1"
    assert gate.most_inside == 1


def test_who_has_left_is_not_waited_for() -> None:
    gate = Gate()
    app = client_of(stand_in(3, gate.react)).app
    scope = {
        "type": "http",
        "method": "POST",
        "path": URL,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }

    async def ask(text: str, leaves: bool) -> None:
        body = json.dumps(SOUND | {"text": text}).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            if not leaves:
                await anyio.sleep_forever()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            pass

        await app(dict(scope), receive, send)

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, "a", False)
            while not gate.begun.is_set():
                await anyio.sleep(0.01)
            group.start_soon(ask, "gone", True)
            await anyio.sleep(0.05)
            gate.open.set()
        await ask("abc", False)

    anyio.run(both)
    assert gate.lengths == [1, 3]


# Which model.


def test_models_that_do_not_fit(
    dataset: pipeline.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = save(build(ARCHITECTURES["llama"]), tmp_path / "tiny")
    with pytest.raises(GatescopeError, match="has no tokenizer"):
        load_live_model(dataset, str(tiny))
    byte_level_tokenizer().save_pretrained(tiny)
    with monkeypatch.context() as patch:
        patch.setitem(dataset.manifest["model"], "layers", [1])
        patch.setitem(dataset.manifest["config"]["model"], "layers", [1])
        with pytest.raises(GatescopeError, match=r"is not the model of .*d_model 32, not"):
            load_live_model(dataset, str(tiny))
        patch.setitem(dataset.manifest["model"], "gated", False)
        with pytest.raises(GatescopeError, match="has no gates"):
            load_live_model(dataset, None)


def test_another_tokenizer(dataset: pipeline.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dataset.manifest["model"], "tokenizer_sha256", "0" * 64)
    with pytest.raises(GatescopeError, match="tokenizer_sha256"):
        load_live_model(dataset, None)
