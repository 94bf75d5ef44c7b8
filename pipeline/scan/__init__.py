"""The one pass of a model over a corpus: batches, the worker, and the driver of one process."""

from pipeline.scan.driver import ScanReport, scan
from pipeline.scan.memory import check_fits, state_bytes
from pipeline.scan.worker import ScanSettings, Worker

__all__ = ["ScanReport", "ScanSettings", "Worker", "check_fits", "scan", "state_bytes"]
