"""Settings of one meta-training run."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sgps.synthesizer.generator_config import GeneratorConfig

LearningRole = Literal["meta_train", "meta_val", "novel_val"]
"""Roles that training and choosing may read; that of the final figures is not among them."""


class MetaTrainingConfig(BaseModel):
    """Everything that decides what a meta-training run does.

    Two runs with the same configuration and data on the same machine give the same generator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: GeneratorConfig = Field(default_factory=GeneratorConfig)
    pretrained: bool = True
    """Start from the target network's public weights. Random ones serve tests: a generator of them
    cannot be loaded again, since they are not kept."""
    allow_downloads: bool = False
    """Let a target network that no package brings come from the hub."""
    text_encoder: str = "minilm"
    episodes: int = Field(default=2400, gt=0)
    episodes_per_step: int = Field(default=2, gt=0)
    min_ways: int = Field(default=2, ge=2)
    max_ways: int = Field(default=6, le=20)
    min_shots: int = Field(default=1, ge=1)
    max_shots: int = Field(default=5, ge=1)
    unequal_share: float = Field(default=0.3, ge=0, le=1)
    """Share of episodes whose classes have unequal shots."""
    queries: int = Field(default=4, ge=1)
    """Query images a class."""
    train_roles: tuple[LearningRole, ...] = ("meta_train",)
    validation_roles: tuple[LearningRole, ...] = ("novel_val", "meta_val")
    """The first of these that any dataset has decides when to stop and which state is kept."""
    splits: int = Field(default=6, ge=1)
    """Tasks made of one pass over an episode's images; without task codes only."""
    average_decay: float = Field(default=0.995, ge=0, lt=1)
    """Of the exponential average of the weights, which is validated and kept."""
    prior_images: int = Field(default=20, ge=2)
    """Images a class that the head's priors are fitted to; without task codes only."""
    generator_rate: float = Field(default=5e-4, gt=0)
    delta_rate: float = Field(default=1e-4, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    text_dropout: float = Field(default=0.3, ge=0, le=1)
    """Share of episodes whose class texts are withheld."""
    augment: bool = True
    validate_every: int = Field(default=300, gt=0)
    validation_episodes: int = Field(default=10, gt=0)
    """Episodes a dataset and shot at each validation."""
    patience: int = Field(default=4, gt=0)
    """Validations without improvement before the run stops."""
    checkpoint_every: int = Field(default=100, gt=0)
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool = False

    @property
    def prior_seed(self) -> int:
        """Decides which images of a class the priors and the known classes are fitted to."""
        return self.seed + 3

    def digest(self) -> str:
        """SHA-256 of the configuration, to tell whether a run may be resumed."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """JSON-able form, for the checkpoint's lineage."""
        return self.model_dump(mode="json")
