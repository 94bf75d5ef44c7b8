"""Where files are written and read: places, the corpus table, snapshots, the merge, the manifest.

The owner of pyarrow. A file appears whole or not at all; manifest.json is written last.
"""

from pipeline.store.corpus import (
    MAX_EXAMPLES,
    CorpusIndex,
    CorpusReader,
    TokenIndex,
    Unit,
    UnitExamples,
    write_corpus,
)
from pipeline.store.manifest import RunRecord, read_manifest
from pipeline.store.merge import MergeSettings, merge_layer
from pipeline.store.place import Place
from pipeline.store.snapshots import Snapshot, load_snapshots, open_layer, save_snapshot
from pipeline.store.tables import read_flipped, write_layer_summary, write_neurons, write_vocab

__all__ = [
    "MAX_EXAMPLES",
    "CorpusIndex",
    "CorpusReader",
    "MergeSettings",
    "Place",
    "RunRecord",
    "Snapshot",
    "TokenIndex",
    "Unit",
    "UnitExamples",
    "load_snapshots",
    "merge_layer",
    "open_layer",
    "read_flipped",
    "read_manifest",
    "save_snapshot",
    "write_corpus",
    "write_layer_summary",
    "write_neurons",
    "write_vocab",
]
