"""The functional core: support set in, every tensor of a classifier out, in one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sgps.synthesizer.adaptation import (
    LayerStatistics,
    absorb_statistics,
    mix_statistics,
    observe_statistics,
)
from sgps.synthesizer.generator import SHIFT_WIDTH, GeneratedCodes, Generator
from sgps.synthesizer.generator_config import GeneratorConfig
from sgps.synthesizer.head import LinearHead, solve_head
from sgps.synthesizer.sealed import DigestStart
from sgps.synthesizer.support_labels import SupportLabels
from sgps.synthesizer.tapped_network import (
    InputNormalisation,
    TappedNetwork,
    build_tapped_network,
    fold_normalisations,
    images_at_once,
    tap_layout,
    use_channels_last,
)
from sgps.synthesizer.task_encoder import SupportTokens
from sgps.synthesizer.weight_plan import plan_weights


@dataclass(frozen=True)
class Synthesis:
    """One synthesized classifier in functional form.

    Attributes
    ----------
    tensors: every tensor of the target's body, by its state-dict name.
    head: the linear head over the taps.
    codes: the generator's own words for the task.
    support_taps: (S, D_t) for each tap, from which the head was solved.
    """

    tensors: dict[str, Tensor]
    head: LinearHead
    codes: GeneratedCodes
    support_taps: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class SharedBody:
    """The body that a generator without task codes writes for every task.

    Attributes
    ----------
    tensors: of the body, by state-dict name.
    folded: a network of these tensors, its normalisations folded: the same taps up to rounding.
    digest: of the tensors.
    """

    tensors: dict[str, Tensor]
    folded: TappedNetwork
    digest: DigestStart


class Hypernetwork(nn.Module):
    """A generator together with the frozen target network it writes for.

    Shapes: S support images, Q queries, N classes, F text width. Images are uint8 of shape
    (S, 3, H, W) at the configured resolution.
    """

    def __init__(self, config: GeneratorConfig, network: TappedNetwork) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.normalise = InputNormalisation(config.architecture)
        self.plan = plan_weights(network.body)
        self.layout = tap_layout(network)
        self.generator = Generator(config, self.plan, network.body, self.layout)
        self._query_pass: Callable[[dict[str, Tensor], Tensor], tuple[Tensor, ...]] = self._run

    @classmethod
    def create(
        cls, config: GeneratorConfig, *, pretrained: bool = True, allow_downloads: bool = False
    ) -> Hypernetwork:
        """Build an untrained hypernetwork; its classifiers are the base with a ridge head.

        Raises
        ------
        UnknownNameError: the target network is unknown, or its weights may not be downloaded.
        """
        network = build_tapped_network(
            config.architecture,
            centres=() if config.task_codes else config.centre_widths,
            pretrained=pretrained,
            allow_downloads=allow_downloads,
        )
        return cls(config, network)

    def base_tensors(self) -> dict[str, Tensor]:
        """The frozen target's state dict, without the batch counters that nothing reads."""
        return {
            name: tensor
            for name, tensor in self.network.body.state_dict(keep_vars=True).items()
            if not name.endswith("num_batches_tracked")
        }

    def generate(
        self,
        images: Tensor,
        labels: SupportLabels,
        texts_NF: Tensor,
        *,
        body: SharedBody | None = None,
    ) -> Synthesis:
        """Synthesize from support images (S, 3, H, W) and text embeddings (N, F).

        ``body``: the :meth:`frozen_body`, where it is at hand; else it is written anew.
        """
        labels = replace(labels, dtype=texts_NF.dtype)
        if self.config.task_codes:
            return self._generate_with_codes(self.normalise(images), labels, texts_NF)
        if body is None:
            tensors = self.shared_body()
        else:
            tensors = {name: tensor.clone() for name, tensor in body.tensors.items()}
        taps = self.support_taps(tensors, images, folded=body.folded if body else None)
        head = self.head_of(taps, labels, texts_NF)
        return Synthesis(tensors, head, self.generator.shared_codes(texts_NF), taps)

    def shared_body(self, share: float | None = None) -> dict[str, Tensor]:
        """Every tensor of the body before any task is seen; ``share`` is of the deltas."""
        base = self.base_tensors()
        if share is None:
            share = 1.0 if self.config.task_codes else self.config.delta_scale
        return base | self.generator.shared_body(base, share)

    @torch.no_grad()
    def frozen_body(self) -> SharedBody | None:
        """The body of every task, for as long as no weight changes; None with task codes."""
        if self.config.task_codes:
            return None
        tensors = self.shared_body()
        network = copy.deepcopy(self.network)
        network.body.load_state_dict(tensors, strict=False)
        folded = use_channels_last(fold_normalisations(network))
        return SharedBody(tensors, folded, DigestStart(tensors))

    def support_taps(
        self,
        tensors: dict[str, Tensor],
        images: Tensor,
        *,
        folded: TappedNetwork | None = None,
    ) -> tuple[Tensor, ...]:
        """Taps of uint8 support images (S, 3, H, W), averaged over the configured views.

        ``folded``: a network of the same tensors that is faster, where it is at hand.
        """
        views = [images]
        if self.config.support_views > 1:
            views += [images.flip(3), images.flip(2)]
        taps = self.taps_under(tensors, torch.cat(views), folded=folded)
        return tuple(tap.view(len(views), len(images), -1).mean(dim=0) for tap in taps)

    def taps_under(
        self,
        tensors: dict[str, Tensor],
        images: Tensor,
        *,
        folded: TappedNetwork | None = None,
    ) -> tuple[Tensor, ...]:
        """Taps (Q, D_t) of uint8 images (Q, 3, H, W) under these tensors of the body.

        ``folded``: as for :meth:`support_taps`.
        """
        run = folded or partial(self._query_pass, tensors)
        if torch.is_grad_enabled():
            return run(self.normalise(images))
        blocks = torch.split(images, images_at_once(images.shape[-1], images.device))
        passes = [run(self.normalise(block)) for block in blocks]
        return tuple(torch.cat(tap) for tap in zip(*passes, strict=True))

    def head_of(
        self, support_taps: tuple[Tensor, ...], labels: SupportLabels, texts_NF: Tensor
    ) -> LinearHead:
        """The head of a task from its support's taps (S, D_t), without task codes."""
        parameters = self.generator.head_priors(texts_NF)
        return solve_head(support_taps, labels, parameters, unit_rows=self.config.unit_rows)

    def _generate_with_codes(
        self, inputs: Tensor, labels: SupportLabels, texts_NF: Tensor
    ) -> Synthesis:
        codes = cast(GeneratedCodes, self.generator(self.encode(inputs, labels, texts_NF)))
        base = self.base_tensors()
        tensors = base | self.generator.decode(codes, base)
        support_taps, statistics = self._adapted_pass(tensors, inputs, labels, codes.mixing_L)
        for name in self.plan.normalisations:
            tensors[f"{name}.running_mean"] = statistics.means[name]
            tensors[f"{name}.running_var"] = statistics.variances[name]
        head = solve_head(support_taps, labels, codes.head, unit_rows=self.config.unit_rows)
        return Synthesis(tensors, head, codes, support_taps)

    def compile_query_pass(self, backend: str = "inductor") -> None:
        """Compile the pass over query images, where most of a training step is spent.

        The two passes over the support stay as they are: they observe and change the normalisation
        layers through hooks, which a compiled network does not call.
        """
        self._query_pass = torch.compile(self._run, backend=backend)

    def encode(self, inputs: Tensor, labels: SupportLabels, texts_NF: Tensor) -> SupportTokens:
        """One pass of the frozen base over normalised support images, without gradients."""
        body = self.network.body
        with torch.no_grad(), observe_statistics(body, labels.weights_S) as seen:
            taps = self.network(inputs)
        return SupportTokens(
            torch.cat(taps, dim=1).to(texts_NF.dtype), labels, texts_NF, self._shifts(seen)
        )

    def taps(self, synthesis: Synthesis, images: Tensor) -> tuple[Tensor, ...]:
        """Tap features of uint8 images (Q, 3, H, W) under the synthesized weights."""
        tensors = absorb_statistics(self.network.body, synthesis.tensors, self.plan.normalisations)
        return self._query_pass(tensors, self.normalise(images))

    def logits(self, synthesis: Synthesis, images: Tensor) -> Tensor:
        """Logits (Q, N) of uint8 images (Q, 3, H, W)."""
        return synthesis.head.logits(self.taps(synthesis, images))

    def _run(self, tensors: dict[str, Tensor], inputs: Tensor) -> tuple[Tensor, ...]:
        swapped = {f"body.{name}": tensor for name, tensor in tensors.items()}
        outputs = functional_call(self.network, swapped, (inputs,))
        return tuple(output.to(self.normalise.mean.dtype) for output in outputs)

    def _adapted_pass(
        self,
        tensors: dict[str, Tensor],
        inputs: Tensor,
        labels: SupportLabels,
        mixing_L: Tensor,
    ) -> tuple[tuple[Tensor, ...], LayerStatistics]:
        mixing = {name: mixing_L[self.plan.layer_number(name)] for name in self.plan.normalisations}
        with mix_statistics(self.network.body, labels.weights_S, mixing) as used:
            taps = self._run(tensors, inputs)
        return taps, used

    def _shifts(self, seen: LayerStatistics) -> Tensor:
        """Distance of the support's activations from the running statistics, (L, 4)."""
        by_layer: dict[str, Tensor] = {}
        modules = dict(self.network.body.named_modules())
        for name in self.plan.normalisations:
            module = modules[name]
            assert isinstance(module, nn.BatchNorm2d)
            assert module.running_mean is not None
            assert module.running_var is not None
            scale_C = (module.running_var + module.eps).sqrt()
            offset_C = (seen.means[name] - module.running_mean) / scale_C
            log_ratio_C = ((seen.variances[name] + module.eps) / scale_C.square()).log()
            by_layer[name] = torch.stack(
                [offset_C.abs().mean(), offset_C.square().mean().sqrt(),
                 log_ratio_C.mean(), log_ratio_C.square().mean().sqrt()]
            )  # fmt: skip
        following = by_layer[self.plan.normalisations[-1]]
        shifts: list[Tensor] = []
        for layer in reversed(self.plan.layers):
            following = by_layer.get(layer, following)
            shifts.append(following)
        stacked = torch.stack(shifts[::-1])
        assert stacked.shape[1] == SHIFT_WIDTH
        return stacked
