"""The state of a run on disk: enough to go on after a kill as if nothing had happened.

A state is a sealed pair ``state-<episode>.{safetensors,json}``; the newest that verifies counts, so
a kill while writing costs the episodes since the one before, never the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.synthesizer.sealed import read_sealed, write_sealed
from sgps.training.validation import ValidationScores

STATE_FORMAT = "sgps-training-state-1"
_KEPT = 2


@dataclass
class RunProgress:
    """Where a run stands.

    Attributes
    ----------
    next_episode: number of the first episode not yet trained on.
    best_score: best validation accuracy so far; -1 before the first validation.
    best_episode: after how many episodes it was reached.
    best_sha256: digest of the generator that was kept then.
    stale_validations: validations since then.
    history: one entry a validation: episode, training loss, scores.
    """

    next_episode: int = 0
    best_score: float = -1.0
    best_episode: int = 0
    best_sha256: str = ""
    stale_validations: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def record_validation(
        self, episode: int, scores: ValidationScores, train_loss: float = math.nan
    ) -> bool:
        """Enter a validation after so many episodes; return whether it is the best so far.

        train_loss: mean since the last validation; NaN, where there is none, is kept as null.
        """
        self.history.append(
            {
                "episode": episode,
                "train_loss": None if math.isnan(train_loss) else train_loss,
                "accuracy": scores.accuracy,
                "loss": scores.loss,
                "by_dataset": dict(scores.by_dataset),
            }
        )
        best = scores.accuracy > self.best_score
        if best:
            self.best_score = scores.accuracy
            self.best_episode = episode
            self.stale_validations = 0
        else:
            self.stale_validations += 1
        return best


def save_state(
    folder: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: RunProgress,
    *,
    run_digest: str,
) -> None:
    """Write the parameters, the optimiser's moments and the progress; keep the last two states."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimiser.{number}.{name}"] = torch.as_tensor(value)
    stem = f"state-{progress.next_episode:08d}"
    description = {"run_digest": run_digest, "progress": vars(progress)}
    write_sealed(folder, stem, tensors, description, file_format=STATE_FORMAT)
    for outdated in _stems(folder)[:-_KEPT]:
        for suffix in (".json", ".safetensors"):
            (folder / f"{outdated}{suffix}").unlink(missing_ok=True)


def load_state(
    folder: Path, module: nn.Module, optimiser: torch.optim.Optimizer, *, run_digest: str
) -> RunProgress:
    """Restore the newest whole state into ``module`` and ``optimiser``; a fresh one if none is.

    Raises
    ------
    InputError: the folder holds a run with another configuration or other data.
    """
    for stem in reversed(_stems(folder)):
        try:
            content = read_sealed(folder, stem, file_format=STATE_FORMAT)
        except (IntegrityError, UnknownNameError):
            continue
        if content.description["run_digest"] != run_digest:
            raise InputError(
                f"{folder} holds a run with another configuration or other data",
                expected="the same settings and datasets to resume",
                remedy="choose another folder or remove this one",
            )
        _restore(module, optimiser, content.tensors)
        return RunProgress(**content.description["progress"])
    return RunProgress()


def _restore(
    module: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    own = {
        name.removeprefix("module."): tensor
        for name, tensor in tensors.items()
        if name.startswith("module.")
    }
    module.load_state_dict(own, strict=True)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, number, moment = name.split(".")
            moments.setdefault(int(number), {})[moment] = tensor
    state = optimiser.state_dict()
    optimiser.load_state_dict({**state, "state": moments})


def _stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("state-*.json"))
