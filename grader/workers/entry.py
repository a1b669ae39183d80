"""Entry point of a spawned worker, where there is no server to fork it."""

from multiprocessing.connection import Connection

from grader.protocol import WorkOrder


def become_worker(order: WorkOrder, channel: Connection) -> None:
    """Carry out the order in this process, which ends with it."""
    # only in that process, so the runner never loads torch
    from grader.workers import spec_worker

    spec_worker.carry_out(order, channel)
