"""The method: a meta-trained generator that writes every tensor of a classifier."""

from sgps.synthesizer.classifier import SynthesizedClassifier
from sgps.synthesizer.generator_config import GeneratorConfig
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.synthesizer.synthesizer import Synthesizer
from sgps.synthesizer.task import ClassSupport, Task

__all__ = [
    "ClassSupport",
    "GeneratorConfig",
    "Hypernetwork",
    "SynthesizedClassifier",
    "Synthesizer",
    "Task",
]
