from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sgps.synthesizer import ClassSupport, GeneratorConfig, Hypernetwork, Synthesizer, Task

RESOLUTION = 64
MakeTask = Callable[..., Task]


def random_images(seed: int, count: int, side: int = RESOLUTION) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count))


def build_hypernetwork(
    architecture: str = "tf_efficientnet_lite0", *, trained: bool, dtype: torch.dtype | None = None
) -> Hypernetwork:
    """A hypernetwork on random base weights; ``trained`` moves every generator parameter."""
    torch.manual_seed(0)
    config = GeneratorConfig(architecture=architecture, resolution=RESOLUTION)
    hypernetwork = Hypernetwork.create(config, pretrained=False)
    if trained:
        with torch.no_grad():
            for parameter in hypernetwork.generator.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.02)
    return hypernetwork.to(dtype) if dtype else hypernetwork


@pytest.fixture(scope="session")
def untrained() -> Hypernetwork:
    return build_hypernetwork(trained=False)


@pytest.fixture(scope="session")
def trained() -> Hypernetwork:
    return build_hypernetwork(trained=True)


@pytest.fixture(scope="session")
def synthesizer(trained: Hypernetwork) -> Synthesizer:
    return Synthesizer(trained, name="test")


@pytest.fixture
def make_task() -> MakeTask:
    def make(shots: tuple[int, ...] = (1, 2, 1), *, seed: int = 0, texts: bool = True) -> Task:
        return Task(
            "rash",
            tuple(
                ClassSupport(
                    f"class {number}",
                    random_images(1000 * seed + number, count),
                    f"a lesion with {number} globules" if texts else "",
                )
                for number, count in enumerate(shots)
            ),
        )

    return make
