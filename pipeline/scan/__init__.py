"""The one pass of a model over a corpus: the worker, where workers come from, and their driver.

crew (this process | Ray) -> team of workers -> driver: units out, snapshots committed, layers
"""

from pipeline.scan.batches import UNIT_TOKENS
from pipeline.scan.crew import OwnProcess
from pipeline.scan.driver import Driver
from pipeline.scan.memory import check_fits, choose_tokens_per_batch, state_bytes
from pipeline.scan.messages import ScanPlan
from pipeline.scan.report import Reporter
from pipeline.scan.scanner import Scanner, ScanSettings
from pipeline.scan.team import Member, Team
from pipeline.scan.totals import Totals
from pipeline.scan.worker import Worker

__all__ = [
    "UNIT_TOKENS",
    "Driver",
    "Member",
    "OwnProcess",
    "Reporter",
    "ScanPlan",
    "ScanSettings",
    "Scanner",
    "Team",
    "Totals",
    "Worker",
    "check_fits",
    "choose_tokens_per_batch",
    "state_bytes",
]
