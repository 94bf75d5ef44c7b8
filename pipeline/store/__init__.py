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
from pipeline.store.events import EventLog, now
from pipeline.store.manifest import RunRecord, read_manifest, read_status, table_files
from pipeline.store.merge import MergeSettings, merge_layer
from pipeline.store.parquet import damaged_files
from pipeline.store.place import WORK, Place
from pipeline.store.snapshots import (
    DamagedSnapshot,
    Snapshot,
    commit_snapshot,
    committed_snapshots,
    drop_snapshot,
    open_layer,
    sweep_snapshots,
    write_snapshot,
)
from pipeline.store.tables import (
    TokenLists,
    write_layer_summary,
    write_neurons,
    write_vocab,
    write_weight_tokens,
)
from pipeline.store.writer import only_writer

__all__ = [
    "MAX_EXAMPLES",
    "WORK",
    "CorpusIndex",
    "CorpusReader",
    "DamagedSnapshot",
    "EventLog",
    "MergeSettings",
    "Place",
    "RunRecord",
    "Snapshot",
    "TokenIndex",
    "TokenLists",
    "Unit",
    "UnitExamples",
    "commit_snapshot",
    "committed_snapshots",
    "damaged_files",
    "drop_snapshot",
    "merge_layer",
    "now",
    "only_writer",
    "open_layer",
    "read_manifest",
    "read_status",
    "sweep_snapshots",
    "table_files",
    "write_corpus",
    "write_layer_summary",
    "write_neurons",
    "write_snapshot",
    "write_vocab",
    "write_weight_tokens",
]
