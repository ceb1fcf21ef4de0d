"""The generator: from support tokens to every residual of the target network and to its head.

Shapes: L layers of the target, R code width, T taps, N classes, D head features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgps.synthesizer.generator_config import GeneratorConfig
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.head_priors import HeadPriors, centred_texts
from sgps.synthesizer.tapped_network import TapLayout
from sgps.synthesizer.task_encoder import SupportTokens, TaskEncoder, count_features
from sgps.synthesizer.weight_plan import (
    PlannedTensor,
    Rule,
    SingularBasis,
    WeightPlan,
    bounded,
)

SHIFT_WIDTH = 4


@dataclass(frozen=True)
class GeneratedCodes:
    """One task in the generator's own words, small enough to keep.

    Attributes
    ----------
    codes_LR: a code for each layer.
    gates_L: how much of each layer's meta-trained delta is mixed in, in (0, 2).
    mixing_L: how far each normalisation moves to the support's statistics, in (-1, 1).
    head: parameters of the closed-form head.
    """

    codes_LR: Tensor
    gates_L: Tensor
    mixing_L: Tensor
    head: HeadParameters


class Generator(nn.Module):
    """The meta-trained hypernetwork of one target network.

    Parameters
    ----------
    config: sizes.
    plan: the target network's tensors.
    body: the frozen target network, for shapes and scales.
    layout: of the features that the head reads.

    An untrained generator emits zero codes and deltas: every tensor equals the base exactly.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        plan: WeightPlan,
        body: nn.Module,
        layout: TapLayout,
    ) -> None:
        super().__init__()
        self.config = config
        self.plan = plan
        feature_width, taps = sum(layout.widths), len(layout.widths)
        base = body.state_dict()
        generated = [tensor for tensor in plan.tensors if tensor.rule is not Rule.STATISTIC]
        self._generated = generated
        self.deltas = nn.ParameterList(torch.zeros_like(base[t.name]) for t in generated)
        if not config.task_codes:
            self.head_priors = HeadPriors(config, layout)
            return
        self.task_encoder = TaskEncoder(
            feature_width, config.text_width, config.task_width, config.depth
        )
        self.layer_coder = _LayerCoder(config, layers=len(plan.layers))
        self.head_coder = _HeadCoder(config, taps, feature_width)
        self.decoders = nn.ParameterList(
            torch.randn(config.code_width, tensor.width) * config.code_width**-0.5
            for tensor in generated
        )
        self.bases = nn.ModuleDict(
            {
                str(number): SingularBasis(base[tensor.name])
                for number, tensor in enumerate(generated)
                if tensor.rule is Rule.SINGULAR
            }
        )

    def forward(self, tokens: SupportTokens) -> GeneratedCodes:
        """Generate the codes of one task."""
        task_E = self.task_encoder(tokens)
        codes_LR, gates_L, mixing_L = self.layer_coder(task_E, tokens.shifts_LJ)
        return GeneratedCodes(codes_LR, gates_L, mixing_L, self.head_coder(task_E, tokens))

    def shared_codes(self, texts_NF: Tensor) -> GeneratedCodes:
        """The codes without task codes: one share of every delta; the head from its priors."""
        layers = len(self.plan.layers)
        zeros_L = texts_NF.new_zeros(layers)
        return GeneratedCodes(
            zeros_L.unsqueeze(1).expand(-1, self.config.code_width),
            zeros_L + self.config.delta_scale,
            zeros_L,
            self.head_priors(texts_NF),
        )

    def shared_body(self, base: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        """The base moved by a share of every delta: what is there before any task is seen."""
        return {
            tensor.name: base[tensor.name] + share * self.deltas[number]
            for number, tensor in enumerate(self._generated)
        }

    def decode(self, codes: GeneratedCodes, base: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn codes into every tensor of the target but the normalisation statistics.

        ``base`` is the frozen target's state dict; the result maps the same names to tensors of the
        same shapes.
        """
        if not self.config.task_codes:
            return self.shared_body(base, self.config.delta_scale)
        tensors: dict[str, Tensor] = {}
        for number, tensor in enumerate(self._generated):
            residual_W = bounded(codes.codes_LR[tensor.layer] @ self.decoders[number])
            shared = codes.gates_L[tensor.layer] * self.deltas[number]
            weight = base[tensor.name]
            tensors[tensor.name] = (
                weight + shared + self._residual(number, tensor, weight, residual_W)
            )
        return tensors

    def _residual(
        self, number: int, tensor: PlannedTensor, weight: Tensor, values_W: Tensor
    ) -> Tensor:
        if tensor.rule is Rule.SINGULAR:
            basis = self.bases[str(number)]
            assert isinstance(basis, SingularBasis)
            return basis.residual(values_W)
        if tensor.rule is Rule.CHANNEL:
            return weight * torch.expm1(values_W).view(-1, *[1] * (weight.dim() - 1))
        unit = weight.square().mean().sqrt().clamp_min(1e-2)
        return unit * values_W


class _LayerCoder(nn.Module):
    """Task vector, layer embedding and activation shift -> code, gate and mixing of each layer."""

    def __init__(self, config: GeneratorConfig, layers: int, hidden: int = 128) -> None:
        super().__init__()
        self.layer_embedding = nn.Parameter(torch.randn(layers, 32))
        inputs = config.task_width + 32 + SHIFT_WIDTH
        self.trunk = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU())
        self.output = nn.Linear(hidden, config.code_width + 2)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.constant = nn.Parameter(torch.zeros(layers, config.code_width + 2))

    def forward(self, task_E: Tensor, shifts_LJ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        layers = self.layer_embedding.shape[0]
        inputs = torch.cat(
            [task_E.expand(layers, -1), self.layer_embedding, shifts_LJ.clamp(-4, 4)], dim=1
        )
        outputs = self.output(self.trunk(inputs)) + self.constant
        return outputs[:, 2:], 2 * torch.sigmoid(outputs[:, 0]), torch.tanh(outputs[:, 1])


class _HeadCoder(nn.Module):
    """Task vector, counts and texts -> parameters of the closed-form head."""

    def __init__(self, config: GeneratorConfig, taps: int, feature_width: int) -> None:
        super().__init__()
        self.taps = taps
        self.trunk = nn.Sequential(nn.Linear(config.task_width + 2, 64), nn.GELU())
        self.output = nn.Linear(64, taps + 3)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        ridge = torch.tensor(config.initial_ridge).log()
        temperature = torch.tensor(config.initial_temperature).log()
        self.constant = nn.Parameter(
            torch.cat([torch.zeros(taps), torch.stack([ridge, temperature, torch.tensor(0.0)])])
        )
        self.text_down = nn.Linear(config.text_width, config.text_rank, bias=False)
        self.text_up = nn.Linear(config.text_rank, feature_width, bias=False)
        nn.init.zeros_(self.text_up.weight)

    def forward(self, task_E: Tensor, tokens: SupportTokens) -> HeadParameters:
        counts_2 = count_features(tokens.labels).mean(dim=0)
        outputs = self.output(self.trunk(torch.cat([task_E, counts_2]))) + self.constant
        return HeadParameters(
            log_tap_weights_T=outputs[: self.taps],
            log_ridge=outputs[self.taps].clamp(-6, 4),
            log_temperature=outputs[self.taps + 1].clamp(-2, 5),
            text_weights_ND=self._text_weights(tokens.texts_NF, outputs[self.taps + 2]),
        )

    def _text_weights(self, texts_NF: Tensor, log_strength: Tensor) -> Tensor:
        """Project the texts, centred over the classes that have one; (N, D)."""
        centred_NF = centred_texts(texts_NF)
        weights: Tensor = self.text_up(self.text_down(centred_NF)) * log_strength.clamp(-4, 2).exp()
        return weights
