"""Entry point of a spawned worker. The worker is imported only in that process, so the runner never loads torch."""

import importlib
from multiprocessing.connection import Connection

from grader.protocol import WorkOrder


def become_worker(order: WorkOrder, channel: Connection) -> None:
    """Carry out the order in this process, which ends with it."""
    importlib.import_module("grader.execution.worker").carry_out(order, channel)
