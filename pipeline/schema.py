"""The Arrow schema of every table of a dataset, with meaning and unit in each field's metadata."""

from __future__ import annotations

from typing import Final, NamedTuple

import pyarrow as pa


def _field(name: str, type_: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    metadata = {"meaning": meaning} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, metadata=metadata)


_LAYER = _field("layer", pa.int32(), "layer of the neuron, 0-based")
_NEURON = _field("neuron", pa.int32(), "index of the neuron in its layer, 0-based")
_GATE_SIGN = _field("gate_sign", pa.int8(), "sign of the gate activation: 1 or -1")
_IN_SIGN = _field("in_sign", pa.int8(), "sign of the in activation: 1 or -1")
_COMBO = _field("combo", pa.string(), "the sign combination, such as gate+_in-")

NEURONS: Final = pa.schema(
    [
        _LAYER,
        _NEURON,
        _field("flipped", pa.bool_(), "w_in and w_out are negated so that cos(w_gate, w_in) >= 0"),
        _field("cos_gate_in", pa.float64(), "cosine of w_gate and w_in; null: no gate", "cosine"),
        _field("cos_gate_out", pa.float64(), "cosine of w_gate and w_out; null: no gate", "cosine"),
        _field("cos_in_out", pa.float64(), "cosine of w_in and w_out", "cosine"),
        _field("norm_gate", pa.float64(), "Euclidean norm of w_gate, with gain; null: no gate"),
        _field("norm_in", pa.float64(), "Euclidean norm of w_in, the norm's gain folded in"),
        _field("norm_out", pa.float64(), "Euclidean norm of w_out as it writes to the residual"),
        _field("io_class", pa.string(), "input-output functionality (arXiv 2505.17936)"),
    ]
)

SIGN_STATS: Final = pa.schema(
    [
        _LAYER,
        _NEURON,
        _GATE_SIGN,
        _IN_SIGN,
        _COMBO,
        _field("n_tokens", pa.int64(), "counted positions of the corpus", "positions"),
        _field(
            "n_zero", pa.int64(), "counted positions where gate or in is exactly 0", "positions"
        ),
        _field("count", pa.int64(), "counted positions in this combination", "positions"),
        _field("frequency", pa.float64(), "count / n_tokens", "share"),
        _field("mean_gate", pa.float64(), "mean gate over the combination; null where count is 0"),
        _field("mean_in", pa.float64(), "mean in over the combination; null where count is 0"),
        _field("mean_act", pa.float64(), "mean act over the combination; null where count is 0"),
        _field("mean_post", pa.float64(), "mean post over the combination; null where count is 0"),
    ]
)

EXAMPLES: Final = pa.schema(
    [
        _LAYER,
        _NEURON,
        _GATE_SIGN,
        _IN_SIGN,
        _COMBO,
        _field("ranking", pa.string(), "what orders the list: post, in, gate or random"),
        _field("rank", pa.int32(), "place in the list, 0 is the best"),
        _field("score", pa.float32(), "the magnitude that ranks, never negative"),
        _field("gate_value", pa.float32(), "gate at the peak"),
        _field("in_value", pa.float32(), "in at the peak"),
        _field("post_value", pa.float32(), "post at the peak"),
        _field("example_id", pa.int64(), "the example, a row of the corpus table"),
        _field("position", pa.int32(), "position of the peak in the example, 0-based"),
        _field("peak_token", pa.int32(), "token id at the peak"),
        _field("n_duplicates", pa.int32(), "entries dropped because they repeat this one"),
        _field("window_start", pa.int32(), "position of the window's first token"),
        _field("token_ids", pa.list_(pa.int32()), "token ids of the window"),
        _field("gate", pa.list_(pa.float32()), "gate at each position of the window"),
        _field("in", pa.list_(pa.float32()), "in at each position of the window"),
    ]
)

WEIGHT_TOKENS: Final = pa.schema(
    [
        _LAYER,
        _NEURON,
        _field("weight", pa.string(), "which weight of the neuron: gate, in or out"),
        _field("matrix", pa.string(), "what it is compared with: embedding or unembedding"),
        _field("side", pa.string(), "highest or lowest dot products"),
        _field("rank", pa.int32(), "place in the list, 0 is the highest or the lowest"),
        _field("token_id", pa.int32(), "the token, a row of vocab"),
        _field("score", pa.float32(), "dot product, the gains of both neighbouring norms folded"),
    ]
)

VOCAB: Final = pa.schema(
    [
        _field("token_id", pa.int32(), "the token's id"),
        _field("token", pa.string(), "the token as shown to a person"),
        _field("bytes", pa.binary(), "the token's bytes"),
    ]
)

# The column of `layers` that counts each class.
CLASS_COLUMNS: Final = {
    "enrichment": "n_enrichment",
    "conditional enrichment": "n_conditional_enrichment",
    "proportional change": "n_proportional_change",
    "orthogonal output": "n_orthogonal_output",
    "conditional depletion": "n_conditional_depletion",
    "depletion": "n_depletion",
    "atypical enrichment": "n_atypical_enrichment",
    "atypical conditional enrichment": "n_atypical_conditional_enrichment",
    "atypical proportional change": "n_atypical_proportional_change",
    "atypical conditional depletion": "n_atypical_conditional_depletion",
    "atypical depletion": "n_atypical_depletion",
}
# The cosines of a neuron's weights, by which it is classed.
COSINES: Final = ("cos_gate_in", "cos_gate_out", "cos_in_out")


def _of_cosines(prefix: str, what: str) -> list[pa.Field]:
    return [
        _field(f"{prefix}_{cosine}", pa.float64(), f"{what} of {cosine}; null: no gate", "cosine")
        for cosine in COSINES
    ]


LAYERS: Final = pa.schema(
    [
        _LAYER,
        _field("n_neurons", pa.int32(), "neurons of the layer", "neurons"),
        _field("n_flipped", pa.int32(), "neurons with flipped signs", "neurons"),
        *[
            _field(column, pa.int32(), f"neurons of the class {io_class}", "neurons")
            for io_class, column in CLASS_COLUMNS.items()
        ],
        *_of_cosines("q1", "first quartile"),
        *_of_cosines("median", "median"),
        *_of_cosines("q3", "third quartile"),
        _field("randomness_low", pa.float64(), "2.5% quantile of random vectors' cosine", "cosine"),
        _field("randomness_high", pa.float64(), "97.5% quantile of that cosine", "cosine"),
        *_of_cosines("mismatched_low", "2.5% quantile, over pairs of different neurons,"),
        *_of_cosines("mismatched_high", "97.5% quantile, over pairs of different neurons,"),
        _field("mismatched_n_pairs", pa.int64(), "pairs of neurons that these quantiles are of"),
        _field(
            "mismatched_error",
            pa.float64(),
            "largest standard error of these quantiles; 0 where they are of all pairs",
            "cosine",
        ),
    ]
)

_CORPUS_FIELDS: Final = (
    _field("example_id", pa.int64(), "number of the example, contiguous from 0"),
    _field("n_tokens", pa.int32(), "tokens of the example, the BOS included", "tokens"),
    _field("input_ids", pa.list_(pa.int32()), "token ids, exactly what the model read"),
    _field("text", pa.string(), "the source text; decoded where the source holds tokens only"),
)
CORPUS_COLUMNS: Final = tuple(field.name for field in _CORPUS_FIELDS)
_SOURCE_TYPES: Final = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}


def corpus_schema(source_columns: dict[str, str]) -> pa.Schema:
    """The `corpus` table's schema: the fixed columns, then the source's own.

    `source_columns` maps a column's name to `string`, `int64`, `float64` or `bool`.
    """
    own = [
        _field(name, _SOURCE_TYPES[kind], "carried along from the source")
        for name, kind in source_columns.items()
    ]
    return pa.schema([*_CORPUS_FIELDS, *own])


# The tables that are partitioned by layer, in the order in which they are written.
LAYER_TABLES: Final = {
    "neurons": NEURONS,
    "sign_stats": SIGN_STATS,
    "examples": EXAMPLES,
    "layers": LAYERS,
    "weight_tokens": WEIGHT_TOKENS,
}
# Those that a run without a scan writes too.
WEIGHT_TABLES: Final = ("neurons", "layers", "weight_tokens")
TABLES: Final = (
    "neurons",
    "sign_stats",
    "examples",
    "corpus",
    "vocab",
    "layers",
    "weight_tokens",
)


class Column(NamedTuple):
    """A column as a person reads of it; `type` is Arrow's name, `unit` is empty for none."""

    name: str
    type: str
    meaning: str
    unit: str


def columns_of(table: str) -> list[Column]:
    """The columns of a table; of the corpus those that every one has."""
    schema = {**LAYER_TABLES, "corpus": corpus_schema({}), "vocab": VOCAB}[table]
    return [
        Column(
            field.name,
            str(field.type).replace("list<element: ", "list<").replace("list<item: ", "list<"),
            field.metadata[b"meaning"].decode(),
            field.metadata.get(b"unit", b"").decode(),
        )
        for field in schema
    ]
