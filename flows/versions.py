"""Versions of the flows and of their tasks, as runs and records name them.

Raise a task's version with every change of what it computes: results cached under the old version
are then not taken again. The versions of the steps of a synthesis are in ``sgps.service.versions``.
"""

from __future__ import annotations

FLOW_VERSIONS = {
    "build_episodes": "1",
    "evaluate": "1",
    "meta_train": "1",
    "retrain": "1",
    "synthesize": "2",
    "validate_data": "1",
}

TASK_VERSIONS = {
    "benchmark_generator": "2",
    "check_datasets": "1",
    "decide_promotion": "1",
    "index_episodes": "1",
    "ingest_dataset": "1",
    "process_request": "1",
    "read_digests": "1",
    "submit_request": "1",
    "train_generator": "2",
    "write_report": "1",
}
