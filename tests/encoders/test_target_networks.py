import sys
import types
import warnings

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sgps.encoders import (
    DEFAULT_TARGET,
    create_target_network,
    input_statistics,
    native_resolution,
    packaged_target_networks,
    target_networks,
)
from sgps.encoders._torchvision_operators import import_timm
from sgps.errors import IntegrityError, OperatorError, UnknownNameError


class SourceNetwork:
    """A hand-written forward pass on the source package's own tensor names."""

    def __init__(self, name: str) -> None:
        packaged = target_networks._PACKAGED[name]
        path = target_networks._packaged_file(packaged)
        self.state = torch.load(path, map_location="cpu", weights_only=True)
        self.block_strides = self.strides(name)

    @staticmethod
    def strides(name: str) -> list[int]:
        """Stride of each block's depthwise convolution, from the published stage table."""
        depths = {
            "tf_efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
            "tf_efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
            "tf_efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
        }[name]
        stage_strides = (1, 2, 2, 2, 1, 2, 1)
        return [
            stride if block == 0 else 1
            for stride, depth in zip(stage_strides, depths, strict=True)
            for block in range(depth)
        ]

    def convolve(self, name: str, inputs: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        size = inputs.shape[-1]
        kernel = weight.shape[-1]
        groups = inputs.shape[1] if weight.shape[1] == 1 else 1
        if stride == 1:
            return functional.conv2d(inputs, weight, None, 1, kernel // 2, 1, groups)
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        padded = functional.pad(inputs, (before, after, before, after))
        return functional.conv2d(padded, weight, None, stride, 0, 1, groups)

    def normalise(self, name: str, inputs: Tensor) -> Tensor:
        state = self.state
        return functional.batch_norm(
            inputs,
            state[f"{name}.running_mean"],
            state[f"{name}.running_var"],
            state[f"{name}.weight"],
            state[f"{name}.bias"],
            eps=1e-3,
        )

    def __call__(self, images: Tensor) -> Tensor:
        hidden = functional.relu6(self.normalise("_bn0", self.convolve("_conv_stem", images, 2)))
        for number, stride in enumerate(self.block_strides):
            block = f"_blocks.{number}"
            inputs = hidden
            if f"{block}._expand_conv.weight" in self.state:
                hidden = self.convolve(f"{block}._expand_conv", hidden)
                hidden = functional.relu6(self.normalise(f"{block}._bn0", hidden))
            hidden = self.convolve(f"{block}._depthwise_conv", hidden, stride)
            hidden = functional.relu6(self.normalise(f"{block}._bn1", hidden))
            hidden = self.convolve(f"{block}._project_conv", hidden)
            hidden = self.normalise(f"{block}._bn2", hidden)
            if hidden.shape == inputs.shape:
                hidden = hidden + inputs
        hidden = functional.relu6(self.normalise("_bn1", self.convolve("_conv_head", hidden)))
        pooled = functional.adaptive_avg_pool2d(hidden, 1).flatten(1)
        weight = self.state["_fc.weight"].contiguous()
        return functional.linear(pooled, weight, self.state["_fc.bias"])


@pytest.mark.parametrize("name", packaged_target_networks())
def test_packaged_weights_give_the_source_network_bit_for_bit(name):
    network = import_timm().create_model(name, pretrained=False, num_classes=1000).eval()
    network.load_state_dict(target_networks.packaged_state_dict(name), strict=True)
    size = native_resolution(name)
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(network(images), SourceNetwork(name)(images))


def test_body_is_frozen_in_evaluation_mode_and_has_no_classifier():
    network = create_target_network(DEFAULT_TARGET)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(key.startswith("classifier") for key in network.state_dict())
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1280)


def test_two_creations_carry_the_same_weights():
    first, second = (create_target_network().state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_other_efficientnets_start_from_random_weights_without_network():
    torch.manual_seed(0)
    network = create_target_network("tf_efficientnetv2_b0", pretrained=False)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1280)


def test_statistics_and_resolution_are_the_published_ones():
    assert input_statistics("tf_efficientnet_lite0") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert input_statistics("tf_efficientnet_b0")[0] == (0.485, 0.456, 0.406)
    assert [native_resolution(name) for name in packaged_target_networks()] == [224, 240, 260]


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite9", "resnet18", "../x", "", "efficientnet_b0.x"]
)
def test_unknown_names_are_refused_with_close_ones(name):
    with pytest.raises(
        UnknownNameError, match=r"expected a timm EfficientNet, such as .*efficientnet"
    ):
        create_target_network(name)


def test_weights_of_the_hub_need_permission():
    with pytest.raises(UnknownNameError, match="allow downloads"):
        create_target_network("tf_efficientnetv2_s")


def test_hub_failures_are_the_operators_to_mend(monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(import_timm(), "create_model", unreachable)
    with pytest.raises(OperatorError, match="no route to host"):
        create_target_network("tf_efficientnetv2_s", allow_downloads=True)


def test_changed_weights_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"foreign")
    monkeypatch.setattr(target_networks, "_packaged_file", lambda _: tmp_path / "weights.pth")
    with pytest.raises(IntegrityError, match="reinstall"):
        create_target_network()


def test_missing_package_is_the_operators_to_mend(monkeypatch):
    monkeypatch.setattr(target_networks.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OperatorError, match="not installed"):
        create_target_network()


def test_importing_timm_leaves_torchvision_usable():
    import_timm()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import torchvision
    assert isinstance(sys.modules["torchvision"], types.ModuleType)
    assert torchvision.transforms.InterpolationMode.BICUBIC.value == "bicubic"
