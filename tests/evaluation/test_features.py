"""Frozen features: those of the network itself, of every view, each image encoded once."""

import copy
import weakref

import numpy as np
import pytest
import torch

from sgps.evaluation.features import VIEWS, TapBank, view_of
from sgps.synthesizer.tapped_network import InputNormalisation, build_tapped_network, tap_layout

ARCHITECTURE = "test_efficientnet"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_tapped_network(ARCHITECTURE, pretrained=False)


@pytest.fixture
def bank(network):
    counted = copy.deepcopy(network)
    counted.encoded = 0

    def count(module, inputs):
        module.encoded += len(inputs[0])

    bank = TapBank("public", counted, "v1", InputNormalisation(ARCHITECTURE))
    counted.register_forward_pre_hook(count)
    return bank


@pytest.fixture(scope="module")
def pool():
    return np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)


def features(network, images):
    with torch.no_grad():
        inputs = InputNormalisation(ARCHITECTURE)(torch.from_numpy(images.copy()))
        return [tap.numpy() for tap in network(inputs)]


def test_views_are_mirrored_upside_down_and_turned():
    image = np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3)
    expected = (image, np.flip(image, 3), np.flip(image, 2), np.rot90(image, 2, axes=(2, 3)))
    assert len(expected) == VIEWS
    for view in range(VIEWS):
        np.testing.assert_array_equal(view_of(image, view), expected[view])
        assert view_of(image, view).flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("view", range(VIEWS))
def test_they_are_those_of_the_network(bank, network, pool, view):
    rows = np.array([7, 3, 38, 3])
    taps = bank.taps(pool, rows, view)
    expected = features(network, view_of(pool[rows], view))
    assert bank.widths == tap_layout(network).widths == tuple(tap.shape[1] for tap in expected)
    assert all(tap.dtype == np.float64 for tap in taps)
    for tap, wanted in zip(taps, expected, strict=True):
        np.testing.assert_allclose(tap, wanted, atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(bank.last(pool, rows, view), taps[-1])


def test_each_row_of_each_view_is_encoded_once(bank, pool):
    bank.taps(pool, np.array([5, 1, 5, 9]))
    assert bank.network.encoded == 3
    bank.taps(pool, np.array([9, 5, 1]))
    assert bank.network.encoded == 3
    bank.taps(pool, np.arange(40))
    assert bank.network.encoded == 40
    bank.last(pool, np.array([1]), view=2)
    assert bank.network.encoded == 41
    bank.taps(pool.copy(), np.array([1]))
    assert bank.network.encoded == 42


def test_pools_are_kept_apart(bank, network, pool):
    rows, altered = np.array([4, 2]), 255 - pool
    plain, other = bank.last(pool, rows), bank.last(altered, rows)
    np.testing.assert_allclose(other, features(network, altered[rows])[-1], atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(bank.last(pool, rows), plain)
    assert not np.allclose(plain, other)


def test_a_pool_that_nobody_needs_any_more_is_let_go(bank, pool):
    passing = pool.copy()
    gone = weakref.ref(passing)
    bank.last(passing, np.arange(3))
    bank.last(passing, np.arange(3), view=1)
    bank.last(pool, np.arange(2))
    assert bank.network.encoded == 8
    del passing
    assert gone() is None
    assert bank.pools == 1
    bank.last(pool, np.arange(2))
    assert bank.network.encoded == 8


def test_time_is_counted_by_encoded_image(bank, pool):
    assert bank.seconds_per_image == 0
    bank.taps(pool, np.arange(10))
    spent = bank.seconds_per_image
    assert spent > 0
    bank.taps(pool, np.arange(10))
    assert bank.seconds_per_image == spent


def test_images_go_to_the_device_of_the_network_and_features_come_back(
    network, pool, another_device
):
    elsewhere = copy.deepcopy(network).to(another_device)
    normalise = InputNormalisation(ARCHITECTURE).to(another_device)
    bank = TapBank("public", elsewhere, "v1", normalise)
    assert bank.device == another_device
    taps = bank.taps(pool, np.array([7, 3]))
    assert [tap.shape for tap in taps] == [(2, width) for width in bank.widths]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_features(network, bank, pool):
    rows, cuda = np.array([7, 3, 38]), torch.device("cuda")
    normalise = InputNormalisation(ARCHITECTURE).to(cuda)
    on_gpu = TapBank("public", copy.deepcopy(network).to(cuda), "v1", normalise)
    for tap, expected in zip(on_gpu.taps(pool, rows), bank.taps(pool, rows), strict=True):
        np.testing.assert_allclose(tap, expected, atol=1e-3, rtol=1e-2)
