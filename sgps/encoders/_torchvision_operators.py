"""The only way timm and open_clip are imported."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

# A CPU build of torch beside PyPI's (CUDA) torchvision cannot load torchvision's compiled library,
# and `import torchvision` stops where it first names an operator of it: "operator torchvision::nms
# does not exist". timm and open_clip need only torchvision's Python part, so the two operators that
# it gives shape rules to are declared here, without a body, and the import is made again.
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")
_declared: list[
    torch.library.Library
] = []  # a Library withdraws its operators when it is collected


def import_timm() -> ModuleType:
    """Return the module ``timm``."""
    return _import_after_torchvision("timm")


def import_open_clip() -> ModuleType:
    """Return the module ``open_clip``."""
    return _import_after_torchvision("open_clip")


def _import_after_torchvision(name: str) -> ModuleType:
    if name not in sys.modules:
        _import_torchvision()
    return importlib.import_module(name)


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or "does not exist" not in str(error):
            raise
        _declare_operators()
        for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        importlib.import_module("torchvision")


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in _OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + _SIGNATURE)  # type: ignore[no-untyped-call]
    _declared.append(library)
