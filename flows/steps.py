"""What every Prefect task here has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import INPUTS, NO_CACHE, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from sgps.errors import StoreError, UserError

P = ParamSpec("P")
R = TypeVar("R")

RETRY_DELAYS_SECONDS = (0.5, 2.0)


def step(
    name: str, *, version: str, retried: bool = False, cached: bool = False
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a versioned Prefect task whose result is stored as JSON.

    Parameters
    ----------
    retried: run again after a fault of a store or the network, not after another ``UserError``.
    cached: take the stored result of the same name, version and inputs. Such a function depends on
        nothing but its inputs, which therefore name content (digests), not only places.
    """

    identity = f"{name}:{version}"

    def identify(_context: TaskRunContext, _inputs: dict[str, Any]) -> str:
        return identity

    return task(
        name=name,
        version=version,
        retries=len(RETRY_DELAYS_SECONDS) if retried else 0,
        retry_delay_seconds=list(RETRY_DELAYS_SECONDS),
        retry_condition_fn=may_help_to_retry,
        persist_result=cached,
        cache_policy=INPUTS + CacheKeyFnPolicy(cache_key_fn=identify) if cached else NO_CACHE,
        result_serializer="json",
    )


def may_help_to_retry(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a failed task is worth another try: not where the caller has to mend it.

    A store that does not answer now may do so in a moment.
    """
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StoreError) or not isinstance(failure, UserError)
