"""A text that a person types, through the running model: `POST data/<name>/live`.

Whoever starts the server hands the model over as plain functions: nothing here knows torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import anyio
import numpy as np
from jaxtyping import Bool, Float
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pipeline.naming import QUANTITIES

MAX_CHARACTERS: Final = 2000
MAX_TOKENS: Final = 256
MAX_BODY: Final = 64 * 1024
# Neurons of a layer that an answer names.
N_STRONGEST: Final = 50
# Requests that may wait for the model beside the one that it works at.
MAX_WAITING: Final = 3
_KEYS: Final = frozenset(("text", "layer", "neuron"))


class Reactions(NamedTuple):
    """What all neurons of a layer do at each position of a text, in the model's own signs."""

    gate: Float[np.ndarray, "pos neuron"]
    in_: Float[np.ndarray, "pos neuron"]
    act: Float[np.ndarray, "pos neuron"]
    post: Float[np.ndarray, "pos neuron"]


@dataclass(frozen=True)
class LiveModel:
    """A running model and what the dataset says of it.

    `encode` gives a text's token ids, MAX_TOKENS at most, and whether there were more; `react` what
    a layer does at these ids. `flipped` has an entry for each layer of the dataset, [neuron].
    With `skip_bos` position 0 is no peak, as in the dataset.
    """

    encode: Callable[[str], tuple[list[int], bool]]
    react: Callable[[list[int], int], Reactions]
    flipped: Mapping[int, Bool[np.ndarray, " neuron"]]
    skip_bos: bool


class Refused(Exception):
    """A request that is not answered: the HTTP status, and a sentence for who asked."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Question:
    """What is asked: one neuron of a layer, or with None those that react most."""

    text: str
    layer: int
    neuron: int | None


class LiveTexts:
    """Answers the requests of all pages, one at a time.

    A few wait for their turn: who changes a text while the model works wants the answer to the new
    one, not an error. The page may have given up by then, and the model is spared. More than a few
    are told to come back.
    """

    def __init__(self, models: Mapping[str, LiveModel]) -> None:
        self._models = models
        self._turn = anyio.Lock()
        self._n_here = 0

    async def answer(self, request: Request) -> Response:
        """The endpoint: JSON in, JSON out; `{"error": sentence}` where it is refused."""
        try:
            model = self._models.get(request.path_params["name"])
            if model is None:
                raise Refused(404, "no model runs beside this dataset: start with --model")
            _require_own_page(request)
            question = parse_question(await _body(request), model)
            said = await self._in_turn(request, model, question)
        except Refused as refused:
            retry = {"retry-after": "1"} if refused.status == 503 else None
            return JSONResponse({"error": str(refused)}, refused.status, retry)
        except ClientDisconnect:
            return Response(status_code=400)
        return JSONResponse(said, headers={"cache-control": "no-store"})

    async def _in_turn(
        self, request: Request, model: LiveModel, question: Question
    ) -> dict[str, Any]:
        if self._n_here > MAX_WAITING:
            raise Refused(503, "the model is busy with other texts; try again in a moment")
        self._n_here += 1
        try:
            async with self._turn:
                if await request.is_disconnected():
                    raise ClientDisconnect
                return await run_in_threadpool(answer_question, model, question)
        finally:
            self._n_here -= 1


def _require_own_page(request: Request) -> None:
    """Refuse what another site has made a browser send, and what no page of ours sends."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin not in (None, f"http://{host}", f"https://{host}"):
        raise Refused(403, "a page of another site asked: only the viewer itself may")
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "the content type is not application/json")


async def _body(request: Request) -> bytes:
    too_long = Refused(413, f"the request is longer than {MAX_BODY} bytes")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > MAX_BODY):
        raise too_long
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise too_long
    return body


def parse_question(body: bytes, model: LiveModel) -> Question:
    """What a request asks; raises Refused, with 400, where that is nothing sensible."""
    try:
        asked = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the request is no JSON in UTF-8") from error
    if not isinstance(asked, dict) or not {"text", "layer"} <= asked.keys() <= _KEYS:
        raise Refused(400, "the request is no object with text, layer and, if wanted, neuron")
    text = asked["text"]
    if not isinstance(text, str) or not text:
        raise Refused(400, "text is empty or no text")
    if len(text) > MAX_CHARACTERS:
        raise Refused(400, f"text has {len(text):,} characters; {MAX_CHARACTERS:,} may be tried")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise Refused(400, "text holds half a surrogate pair, which stands for no character")
    layer = asked["layer"]
    if not _is_int(layer) or layer not in model.flipped:
        named = ", ".join(map(str, sorted(model.flipped)))
        raise Refused(400, f"layer is none of the dataset's layers ({named})")
    neuron = asked.get("neuron")
    n_neurons = len(model.flipped[layer])
    if neuron is not None and not (_is_int(neuron) and 0 <= neuron < n_neurons):
        raise Refused(400, f"neuron is none of layer {layer}, whose last is {n_neurons - 1}")
    return Question(text, layer, neuron)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def answer_question(model: LiveModel, question: Question) -> dict[str, Any]:
    """The tokens of the text, and one neuron at each or the strongest neurons at their peaks.

    in and post of neurons that the dataset has flipped are negated; what is not finite is null.
    Raises Refused where the text gives nothing to look at.
    """
    token_ids, is_cut = model.encode(question.text)
    if not token_ids:
        raise Refused(400, "text gives no token")
    first = 1 if model.skip_bos else 0
    if question.neuron is None and len(token_ids) <= first:
        raise Refused(400, "text gives one token, and position 0 is left out in this dataset")
    found = model.react(token_ids, question.layer)
    sign = np.where(model.flipped[question.layer], np.float32(-1), np.float32(1))
    values = dict(
        zip(QUANTITIES, (found.gate, found.in_ * sign, found.act, found.post * sign), strict=True)
    )
    tokens = [{"token_id": int(t), "position": i} for i, t in enumerate(token_ids)]
    said: dict[str, Any] = {"tokens": tokens, "cut": is_cut}
    if question.neuron is not None:
        columns = {name: of_layer[:, question.neuron] for name, of_layer in values.items()}
        return said | {name: list(map(_finite, column)) for name, column in columns.items()}
    size = np.nan_to_num(np.abs(found.post), nan=-1.0, posinf=np.inf)
    peaks = first + size[first:].argmax(axis=0)
    neurons = np.arange(len(peaks))
    strongest = np.argsort(-size[peaks, neurons], kind="stable")[:N_STRONGEST]
    return said | {
        "neurons": [
            {"neuron": int(n), "position": int(peaks[n])}
            | {name: _finite(of_layer[peaks[n], n]) for name, of_layer in values.items()}
            for n in strongest
        ]
    }


def _finite(value: np.floating[Any]) -> float | None:
    return float(value) if math.isfinite(value) else None
