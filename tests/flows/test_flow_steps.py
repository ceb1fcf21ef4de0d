"""What every task has in common: versions, caching, retries."""

from __future__ import annotations

import pytest
from prefect import flow

from flows import steps
from flows.steps import step
from sgps.errors import InputError, StoreError

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_results_are_cached_by_identity_version_and_inputs() -> None:
    calls: list[str] = []

    def make(name: str, version: str):
        @step(name, version=version, cached=True)
        def compute(value: int) -> dict[str, int]:
            calls.append(f"{name}:{version}:{value}")
            return {"value": value}

        return compute

    first, renamed, newer = make("one", "1"), make("two", "1"), make("one", "2")

    @flow
    def run() -> list[dict[str, int]]:
        return [first(7), first(7), renamed(7), newer(7), first(8)]

    assert run() == [{"value": 7}] * 4 + [{"value": 8}]
    assert calls == ["one:1:7", "two:1:7", "one:2:7", "one:1:8"]
    run()
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("failure", "tries"),
    [(InputError("no"), 1), (StoreError("locked"), 3), (ConnectionError("reset"), 3)],
)
def test_only_what_may_pass_is_retried(
    failure: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "RETRY_DELAYS_SECONDS", (0.0, 0.0))
    calls: list[int] = []

    @step("fail", version="1", retried=True)
    def fail() -> None:
        calls.append(1)
        raise failure

    @flow
    def run() -> None:
        fail()

    with pytest.raises(type(failure)):
        run()
    assert len(calls) == tries


def test_tasks_carry_their_versions() -> None:
    import flows.retrain
    import flows.synthesize
    import flows.validate_data
    from flows.versions import FLOW_VERSIONS, TASK_VERSIONS

    assert flows.synthesize.process_request.version == TASK_VERSIONS["process_request"]
    assert flows.validate_data.check_datasets.version == TASK_VERSIONS["check_datasets"]
    assert flows.retrain.retrain.version == FLOW_VERSIONS["retrain"]
