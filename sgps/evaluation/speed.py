"""How fast a synthesis and its classifier are, in ratios to what they are measured against.

What is compared is timed in turn, again and again; a ratio is the median over the repeats of the
ratio within one repeat, so that other work on the machine slows both sides alike. On a CPU it is
that of the processor time, which other work hardly touches.

Shapes: S support images, Q queries, N classes.
"""

from __future__ import annotations

import copy
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from sgps.encoders.target_networks import create_target_network
from sgps.errors import InputError, OperatorError
from sgps.evaluation.baselines.fine_tuning import FineTuning, fine_tune
from sgps.evaluation.baselines.ordered_support import OrderedSupport
from sgps.evaluation.benchmark_data import Progress
from sgps.evaluation.features import TapBank, wait_for
from sgps.evaluation.methods import EpisodeInputs
from sgps.evaluation.peak_memory import peak_memory
from sgps.evaluation.speed_report import SpeedReport
from sgps.synthesizer import ClassSupport, SynthesizedClassifier, Synthesizer, Task
from sgps.synthesizer.compact import CompactClassifier
from sgps.synthesizer.export import export_onnx, onnx_difference
from sgps.synthesizer.scoring import images_to_tensor
from sgps.synthesizer.tapped_network import TappedNetwork, fold_normalisations, use_channels_last

N_WAY = K_SHOT = 5
FINE_TUNING_STEPS = 100
_WARM_STEPS, _TIMED_STEPS = 1, 10
_QUERIES = 48

Run = Callable[[], object]


class _Measured(NamedTuple):
    """The task that all is measured on, and what there is to run."""

    task: Task
    images: np.ndarray
    batches: tuple[int, ...]
    runs: Mapping[str, Run]


def measure_speed(
    synthesizer: Synthesizer,
    *,
    seed: int = 0,
    repeats: int = 9,
    resolution: int | None = None,
    progress: Progress | None = None,
) -> SpeedReport:
    """Time a 5-way 5-shot synthesis and the classifier it makes, of images of side ``resolution``.

    By default that is the generator's own.

    Measured against: forward passes of the timm network over as many support images as a synthesis
    takes through it, and the same with folded normalisations; 100 steps of the fine-tuning baseline
    (10 are timed and scaled); the plain timm network with a linear layer, on the same images in the
    same batches. Measured once: the peak memory of a fresh process that makes one synthesis, the
    size of the compact form and whether it expands to the same weights, and the difference of the
    ONNX file. What cannot be measured (no codes, no ``onnx`` extra) is None in the report.

    Raises
    ------
    OperatorError: the process that measures the memory fails.
    """
    load_before = _load()
    if resolution is not None:
        synthesizer = _at_resolution(synthesizer, resolution)
    parts = _prepare(synthesizer, seed)
    for run in parts.runs.values():
        run()
    wall: dict[str, list[float]] = {name: [] for name in parts.runs}
    processor: dict[str, list[float]] = {name: [] for name in parts.runs}
    for repeat in range(repeats):
        for name, run in parts.runs.items():
            spent = _seconds(run, synthesizer.device)
            wall[name].append(spent[0])
            processor[name].append(spent[1])
        if progress is not None:
            progress("speed", repeat + 1, repeats)
    classifier = synthesizer.synthesize(parts.task)
    compact_bytes, compact_equal = _compact(classifier, synthesizer, parts.images[:4])
    return SpeedReport(
        settings={
            **_settings(synthesizer, parts.batches, classifier.images_at_once),
            "repeats": repeats,
            "seed": seed,
            "load_before": load_before,
            "load_after": _load(),
        },
        seconds=_fine_tuning_scaled(wall),
        processor_seconds=_fine_tuning_scaled(processor),
        peak_bytes=peak_memory(synthesizer, parts.task),
        compact_bytes=compact_bytes,
        compact_equal=compact_equal,
        onnx_difference=_onnx_difference(classifier),
    )


def _settings(
    synthesizer: Synthesizer, batches: tuple[int, ...], query_batch: int
) -> dict[str, Any]:
    return {
        "generator": synthesizer.generator_name,
        "generator_sha256": synthesizer.generator_sha256,
        "architecture": synthesizer.architecture,
        "resolution": synthesizer.resolution,
        "n_way": N_WAY,
        "k_shot": K_SHOT,
        "support_batches": list(batches),
        "passes": sum(batches) / (N_WAY * K_SHOT),
        "queries": _QUERIES,
        "query_batch": query_batch,
        "fine_tuning": f"{FineTuning().batch} images a step; {_TIMED_STEPS} steps timed after"
        f" {_WARM_STEPS}, scaled to {FINE_TUNING_STEPS}",
        "device": str(synthesizer.device),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "torch": torch.__version__,
    }


def _at_resolution(synthesizer: Synthesizer, resolution: int) -> Synthesizer:
    """The same generator for images of another size; all tensors are shared."""
    other = copy.copy(synthesizer)
    other.hypernetwork = copy.copy(synthesizer.hypernetwork)
    other.hypernetwork.config = replace(synthesizer.hypernetwork.config, resolution=resolution)
    return other


def _prepare(synthesizer: Synthesizer, seed: int) -> _Measured:
    random = np.random.default_rng(seed)
    side, support = synthesizer.resolution, N_WAY * K_SHOT
    images = random.integers(0, 256, (support + _QUERIES, side, side, 3), dtype=np.uint8)
    task = Task(
        "speed",
        tuple(
            ClassSupport(f"class {number}", tuple(shots), f"lesion of kind {number}")
            for number, shots in enumerate(
                images[:support].reshape(N_WAY, K_SHOT, *images.shape[1:])
            )
        ),
    )
    classifier = synthesizer.synthesize(task)
    batches = _support_batches(synthesizer, task)
    queries = images[support:]
    runs: dict[str, Run] = {
        "synthesis": lambda: synthesizer.synthesize(task),
        "forward_passes": _forward_passes(synthesizer, images[:support], batches, fold=False),
        "folded_passes": _forward_passes(synthesizer, images[:support], batches, fold=True),
        "prediction": lambda: classifier.logits(queries),
        "plain_prediction": _plain_prediction(synthesizer, classifier, queries, fold=False),
        "folded_prediction": _plain_prediction(synthesizer, classifier, queries, fold=True),
        **_fine_tuning(synthesizer, images[:support]),
    }
    return _Measured(task, queries, batches, runs)


def _support_batches(synthesizer: Synthesizer, task: Task) -> tuple[int, ...]:
    """How many images each pass of a synthesis takes through the target network."""
    batches: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, TappedNetwork):
            batches.append(len(inputs[0]))

    handle = register_module_forward_pre_hook(count)
    try:
        synthesizer.synthesize(task)
    finally:
        handle.remove()
    return tuple(batches)


def _forward_passes(
    synthesizer: Synthesizer, images: np.ndarray, batches: tuple[int, ...], *, fold: bool
) -> Run:
    """The timm network without classifier, on as many images as a synthesis takes through it."""
    hypernetwork = synthesizer.hypernetwork
    network = copy.deepcopy(hypernetwork.network)
    if fold:
        fold_normalisations(network)
    use_channels_last(network)
    inputs = hypernetwork.normalise(_as_tensor(synthesizer, images))
    repeated = [inputs.repeat(-(-batch // len(inputs)), 1, 1, 1)[:batch] for batch in batches]
    blocks = [block.contiguous(memory_format=torch.channels_last) for block in repeated]

    def run() -> None:
        with torch.inference_mode():
            for block in blocks:
                network.body(block)

    return run


def _plain_prediction(
    synthesizer: Synthesizer, classifier: SynthesizedClassifier, queries: np.ndarray, *, fold: bool
) -> Run:
    """The timm network of the classifier with a linear layer, as a user would run it."""
    network = create_target_network(classifier.architecture, pretrained=False)
    network.load_state_dict(classifier.body_state_dict(), strict=True)
    tapped = use_channels_last(TappedNetwork(network, classifier.taps))
    if fold:
        fold_normalisations(tapped)
    features = cast(Any, network).num_features
    linear = nn.Linear(features, len(classifier.class_names))
    plain = nn.Sequential(network, linear).eval().to(synthesizer.device)
    normalise, batch = synthesizer.hypernetwork.normalise, classifier.images_at_once

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(queries), batch):
                block = _as_tensor(synthesizer, queries[start : start + batch])
                plain(normalise(block)).cpu().numpy()

    return run


def _fine_tuning(synthesizer: Synthesizer, images: np.ndarray) -> dict[str, Run]:
    """The fine-tuning baseline for a few steps, and for those and the timed ones."""
    hypernetwork = synthesizer.hypernetwork
    base = TapBank("speed", copy.deepcopy(hypernetwork.network), "", hypernetwork.normalise)
    rows = np.arange(N_WAY * K_SHOT).reshape(N_WAY, K_SHOT)
    names = tuple(f"class {number}" for number in range(N_WAY))
    pool = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    support = OrderedSupport.of(EpisodeInputs(names, ("",) * N_WAY, pool, tuple(rows), rows[0]))

    def tune(steps: int) -> Run:
        return lambda: fine_tune(base, support, replace(FineTuning(), steps=steps))

    return {"few_steps": tune(_WARM_STEPS), "more_steps": tune(_WARM_STEPS + _TIMED_STEPS)}


def _fine_tuning_scaled(seconds: Mapping[str, list[float]]) -> dict[str, tuple[float, ...]]:
    timed = {name: tuple(values) for name, values in seconds.items() if not name.endswith("_steps")}
    pairs = zip(seconds["few_steps"], seconds["more_steps"], strict=True)
    scale = FINE_TUNING_STEPS / _TIMED_STEPS
    return timed | {"fine_tuning": tuple((more - few) * scale for few, more in pairs)}


def _seconds(run: Run, device: torch.device) -> tuple[float, float]:
    """Seconds on the wall, and of this process on all processors."""
    wait_for(device)
    wall, processor = time.perf_counter(), time.process_time()
    run()
    wait_for(device)
    return time.perf_counter() - wall, time.process_time() - processor


def _as_tensor(synthesizer: Synthesizer, images: np.ndarray) -> Tensor:
    return images_to_tensor(images, synthesizer.resolution).to(synthesizer.device)


def _compact(
    classifier: SynthesizedClassifier, synthesizer: Synthesizer, images: np.ndarray
) -> tuple[int | None, bool | None]:
    """Bytes of the compact form on disk, and whether it gives the same weights and logits."""
    try:
        compact = CompactClassifier.of(classifier, synthesizer)
    except InputError:
        return None, None
    with tempfile.TemporaryDirectory(prefix="sgps-") as folder:
        size = compact.save(Path(folder))
        expanded = CompactClassifier.load(Path(folder)).expand(synthesizer)
    same = np.array_equal(expanded.logits(images), classifier.logits(images))
    return size, same and expanded.weights_sha256 == classifier.weights_sha256


def _onnx_difference(classifier: SynthesizedClassifier) -> float | None:
    with tempfile.TemporaryDirectory(prefix="sgps-") as folder:
        path = Path(folder) / "classifier.onnx"
        try:
            export_onnx(classifier, path, check=False)
        except OperatorError:  # the packages are not installed
            return None
        return onnx_difference(classifier, path)


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
