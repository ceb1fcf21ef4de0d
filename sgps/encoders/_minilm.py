"""The forward pass of MiniLM-L6 (a BERT of 6 layers) on its safetensors weights.

Written out, because importing the libraries that have it takes several seconds.
Shapes: B texts, T tokens, D = 384 features, H = 12 heads.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12


def token_features(weights: Mapping[str, Tensor], token_ids_BT: Tensor) -> Tensor:
    """Return the last hidden states (B, T, D) of texts of one length, without padding."""
    positions_T = torch.arange(token_ids_BT.shape[1], device=token_ids_BT.device)
    hidden_BTD = (
        weights["embeddings.word_embeddings.weight"][token_ids_BT]
        + weights["embeddings.position_embeddings.weight"][positions_T]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    hidden_BTD = _layer_norm(weights, "embeddings.LayerNorm", hidden_BTD)
    for layer in range(_LAYERS):
        hidden_BTD = _layer(weights, f"encoder.layer.{layer}", hidden_BTD)
    return hidden_BTD


def _layer(weights: Mapping[str, Tensor], prefix: str, hidden_BTD: Tensor) -> Tensor:
    attended_BTD = _attention(weights, f"{prefix}.attention.self", hidden_BTD)
    attended_BTD = _linear(weights, f"{prefix}.attention.output.dense", attended_BTD)
    hidden_BTD = _layer_norm(
        weights, f"{prefix}.attention.output.LayerNorm", hidden_BTD + attended_BTD
    )
    inner = functional.gelu(_linear(weights, f"{prefix}.intermediate.dense", hidden_BTD))
    outer_BTD = _linear(weights, f"{prefix}.output.dense", inner)
    return _layer_norm(weights, f"{prefix}.output.LayerNorm", hidden_BTD + outer_BTD)


def _attention(weights: Mapping[str, Tensor], prefix: str, hidden_BTD: Tensor) -> Tensor:
    shape_BTHd = (*hidden_BTD.shape[:2], _HEADS, -1)
    queries, keys, values = (
        _linear(weights, f"{prefix}.{name}", hidden_BTD).view(*shape_BTHd).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    attended_BHTd = functional.scaled_dot_product_attention(queries, keys, values)
    return attended_BHTd.transpose(1, 2).flatten(-2)


def _linear(weights: Mapping[str, Tensor], prefix: str, inputs: Tensor) -> Tensor:
    return functional.linear(inputs, weights[f"{prefix}.weight"], weights[f"{prefix}.bias"])


def _layer_norm(weights: Mapping[str, Tensor], prefix: str, inputs: Tensor) -> Tensor:
    weight, bias = weights[f"{prefix}.weight"], weights[f"{prefix}.bias"]
    return functional.layer_norm(inputs, (inputs.shape[-1],), weight, bias, _EPSILON)
