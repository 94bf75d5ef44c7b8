"""The one pass of a model over a corpus: batches, the worker, and the driver of one process."""

from pipeline.scan.batches import UNIT_TOKENS
from pipeline.scan.driver import ScanReport, scan
from pipeline.scan.memory import check_fits, choose_tokens_per_batch, state_bytes
from pipeline.scan.worker import ScanSettings, Worker

__all__ = [
    "UNIT_TOKENS",
    "ScanReport",
    "ScanSettings",
    "Worker",
    "check_fits",
    "choose_tokens_per_batch",
    "scan",
    "state_bytes",
]
