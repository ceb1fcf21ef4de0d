import pytest
from frozen_example import drawn_episode, untrained_base

from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import EpisodeInputs


@pytest.fixture
def base() -> TapBank:
    return untrained_base()


@pytest.fixture
def episode() -> EpisodeInputs:
    """Almost plain colours, one a class; 2 shots and 3 queries of each of 3 classes."""
    return drawn_episode(noise=60, brightness=150)
