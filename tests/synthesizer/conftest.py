from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from sgps.synthesizer import ClassSupport, GeneratorConfig, Hypernetwork, Synthesizer, Task
from sgps.synthesizer.head_priors import HeadPriors
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.scoring import images_to_tensor
from sgps.synthesizer.sealed import digest_tensors
from sgps.synthesizer.support_labels import SupportLabels

RESOLUTION = 64
KNOWN_CLASSES = 30
MakeTask = Callable[..., Task]


def random_images(seed: int, count: int, side: int = RESOLUTION) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count))


def build_hypernetwork(
    architecture: str = "tf_efficientnet_lite0",
    *,
    trained: bool,
    task_codes: bool = True,
    dtype: torch.dtype | None = None,
) -> Hypernetwork:
    """A hypernetwork on random base weights; ``trained`` moves all that training and fitting do."""
    torch.manual_seed(0)
    config = GeneratorConfig(
        architecture=architecture, resolution=RESOLUTION, task_codes=task_codes
    )
    hypernetwork = Hypernetwork.create(config, pretrained=False)
    if trained:
        with torch.no_grad():
            for parameter in hypernetwork.generator.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.02)
            if not task_codes:
                make_up_priors(hypernetwork.generator.head_priors)
    return hypernetwork.to(dtype) if dtype else hypernetwork


def labelled(*shots: int) -> SupportLabels:
    """Labels in float64: as many images of each class, one class after the other."""
    numbers = torch.repeat_interleave(torch.tensor(shots))
    return SupportLabels(numbers, len(shots), torch.float64)


def make_up_priors(priors: HeadPriors) -> None:
    """Random directions, shares, spreads and a text map, in place of fitted ones."""
    rank, width = priors.basis_RD.shape
    priors.basis_RD.copy_(torch.linalg.qr(torch.randn(width, rank)).Q.T)
    priors.shares_R.uniform_(0.1, 0.9)
    priors.within_spread_K.uniform_(200, 300)
    priors.text_down_FK.normal_()
    priors.text_up_KD.normal_(std=priors.text_up_KD.numel() ** -0.5)


@pytest.fixture(scope="session")
def untrained() -> Hypernetwork:
    return build_hypernetwork(trained=False)


@pytest.fixture(scope="session")
def trained() -> Hypernetwork:
    return build_hypernetwork(trained=True)


@pytest.fixture(scope="session")
def shared() -> Hypernetwork:
    """Trained, without task codes: one body for all tasks, the head from its priors."""
    return build_hypernetwork(trained=True, task_codes=False)


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


@pytest.fixture(scope="session")
def backdrop() -> tuple[np.ndarray, ...]:
    """One image of each known class."""
    return random_images(77, KNOWN_CLASSES)


@pytest.fixture(scope="session")
def known(shared: Hypernetwork, backdrop: tuple[np.ndarray, ...]) -> KnownClasses:
    images = images_to_tensor(backdrop, RESOLUTION)
    with torch.inference_mode():
        taps = shared.taps_under(shared.shared_body(), images)
    names = tuple(f"drawn: {number}" for number in range(KNOWN_CLASSES))
    return KnownClasses(
        names, torch.cat(taps, dim=1), digest_tensors(shared.generator.state_dict())
    )


@pytest.fixture(scope="session")
def knowing(shared: Hypernetwork, known: KnownClasses) -> Synthesizer:
    return Synthesizer(shared, name="knowing", known_classes=known)


@pytest.fixture(scope="session")
def ignorant(shared: Hypernetwork) -> Synthesizer:
    return Synthesizer(shared, name="knowing")


@pytest.fixture(scope="session")
def others(shared: Hypernetwork, known: KnownClasses) -> Synthesizer:
    """The same generator, which knows classes of other looks under the same names."""
    moved = replace(known, means_CD=known.means_CD + 0.01)
    return Synthesizer(shared, name="knowing", known_classes=moved)
