"""The fast ways through a network give what the plain ones give."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sgps.synthesizer.tapped_network import (
    TappedNetwork,
    build_tapped_network,
    fold_normalisations,
    images_at_once,
    spatial_moments,
    tap_layout,
)


def network_with_statistics(architecture: str) -> TappedNetwork:
    """A network whose normalisations all differ from the identity."""
    torch.manual_seed(0)
    network = build_tapped_network(architecture, pretrained=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.8, 1.5)
            module.bias.data.normal_(0, 0.1)
    return network


@pytest.mark.parametrize(
    "architecture", ["tf_efficientnet_lite0", "efficientnet_b0", "tf_efficientnetv2_b0"]
)
def test_folded_normalisations_give_the_same_features(architecture: str) -> None:
    plain = network_with_statistics(architecture)
    folded = fold_normalisations(copy.deepcopy(plain))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for expected, actual in zip(plain(images), folded(images), strict=True):
            scale = float(expected.abs().max())
            torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * max(scale, 1.0))


def test_centre_taps_come_first_and_leave_the_plain_ones_as_they_are() -> None:
    plain = network_with_statistics("tf_efficientnet_lite0")
    centred = TappedNetwork(plain.body, plain.taps, (0.5, 0.3)).eval()
    assert centred.centre_of == (8, 9, 10, 11, 8, 9, 10, 11)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected, taps = plain(images), centred(images)
        for one, other in zip(expected, taps[8:], strict=True):
            assert torch.equal(one, other)
        for one, other in zip(expected, centred.without_centres()(images), strict=True):
            assert torch.equal(one, other)
    for tap, place in zip(taps, centred.centre_of, strict=False):
        assert 2 * tap.shape[1] == taps[place].shape[1]
    layout = tap_layout(centred)
    assert layout.widths == tuple(tap.shape[1] for tap in taps)
    assert layout.plain_widths == tap_layout(plain).widths


def test_a_network_without_centre_taps_is_its_own_plain_form() -> None:
    network = build_tapped_network("tf_efficientnet_lite0", pretrained=False)
    assert network.centre_of == ()
    assert network.without_centres() is network


def test_folding_leaves_the_tensors_it_read() -> None:
    plain = network_with_statistics("tf_efficientnet_lite0")
    state = plain.body.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    fold_normalisations(plain)
    assert all(torch.equal(state[name], before[name]) for name in state)


@settings(max_examples=15, deadline=None)
@given(
    images=st.integers(1, 9),
    channels=st.sampled_from([3, 96, 200]),
    side=st.sampled_from([1, 7, 56]),
)
def test_moments_in_blocks_are_those_of_the_whole(images: int, channels: int, side: int) -> None:
    features = torch.randn(images, channels, side, side).to(memory_format=torch.channels_last)
    flat = features.double().flatten(2)
    with torch.no_grad():
        mean, square = spatial_moments(features)
    torch.testing.assert_close(mean.double(), flat.mean(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(square.double(), flat.square().mean(2), rtol=1e-5, atol=1e-5)


def test_moments_carry_gradients() -> None:
    features = torch.randn(2, 4, 8, 8, requires_grad=True)
    mean, square = spatial_moments(features)
    (mean.sum() + square.sum()).backward()
    expected = (1 + 2 * features.detach()) / 64
    torch.testing.assert_close(features.grad, expected)


def test_the_larger_the_images_the_fewer_at_once() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    sides = (64, 128, 224, 512)
    counts = [images_at_once(side, cpu) for side in sides]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1
    assert {images_at_once(side, gpu) for side in sides} == {64}
