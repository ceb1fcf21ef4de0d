"""A package laid out as the files that MLflow stores."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sgps.datasets.decoding import encode_png
from sgps.registry._mlflow import (
    ColSpec,
    DataType,
    Model,
    ModelSignature,
    Schema,
    TensorSpec,
    mlflow_pyfunc,
)
from sgps.registry.card import render_card
from sgps.registry.package import ModelPackage, SupportImage

MODEL_FOLDER = "model"
GENERATOR_FOLDER = "generator"
CLASSIFIER_PATH = "data/classifier"
LOADER = "sgps.service.pyfunc_loader"
_REQUIREMENTS = (
    *("mlflow", "sgps", "torch", "torchvision"),
    *("timm", "numpy", "pandas", "pillow", "safetensors"),
)


def write_documents(package: ModelPackage, folder: Path) -> None:
    """Write all but the model: the card, what it was made from, the record, the generator's own."""
    _write_support(package.support, folder)
    _write_json(folder / "texts.json", texts_document(package))
    _write_json(folder / "request.json", package.request)
    _write_json(folder / "audit.json", package.audit)
    (folder / "card.html").write_text(render_card(package), encoding="utf-8")
    for name, content in package.generator_documents.items():
        (folder / GENERATOR_FOLDER).mkdir(exist_ok=True)
        (folder / GENERATOR_FOLDER / name).write_bytes(content)


def write_model(package: ModelPackage, folder: Path, *, run_id: str) -> Model:
    """Write the MLflow model into ``folder / "model"`` and return its description.

    What ``mlflow.pyfunc.save_model`` would write, without its inferring, copying and warning.
    """
    target = folder / MODEL_FOLDER
    package.classifier.save(target / CLASSIFIER_PATH)
    _write_environment(target)
    model = Model(
        artifact_path=MODEL_FOLDER,
        run_id=run_id,
        signature=_signature(package.classifier.class_names),
        model_size_bytes=sum(file.stat().st_size for file in target.rglob("*") if file.is_file()),
    )
    flavour: Any = mlflow_pyfunc
    flavour.add_to_model(
        model,
        loader_module=LOADER,
        data=CLASSIFIER_PATH,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    model.save(str(target / "MLmodel"))
    return model


def _write_environment(target: Path) -> None:
    """Write what the model needs in the three forms that MLflow restores environments from."""
    requirements = _requirements()
    python = platform.python_version()
    (target / "requirements.txt").write_text("\n".join(requirements) + "\n")
    python_env = {
        "python": python,
        "build_dependencies": ["pip", "setuptools", "wheel"],
        "dependencies": ["-r requirements.txt"],
    }
    (target / "python_env.yaml").write_text(yaml.safe_dump(python_env, sort_keys=False))
    conda_env = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
    }
    (target / "conda.yaml").write_text(yaml.safe_dump(conda_env, sort_keys=False))


def _signature(class_names: tuple[str, ...]) -> ModelSignature:
    images = TensorSpec(np.dtype("uint8"), (-1, -1, -1, 3))
    probabilities: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.float, name) for name in class_names
    ]
    return ModelSignature(inputs=Schema([images]), outputs=Schema(probabilities))


def _requirements() -> list[str]:
    found = []
    for name in _REQUIREMENTS:
        try:
            found.append(f"{name}=={version(name).split('+')[0]}")
        except PackageNotFoundError:
            continue
    return found


def _write_support(support: tuple[SupportImage, ...], folder: Path) -> None:
    for image in support:
        (folder / image.artifact).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        for image, data in zip(support, pool.map(_png, support), strict=True):
            (folder / image.artifact).write_bytes(data)


def _png(image: SupportImage) -> bytes:
    return image.png or encode_png(image.pixels)


def texts_document(package: ModelPackage) -> dict[str, Any]:
    """Content of ``texts.json``."""
    return {
        "task": package.task,
        "classes": [
            {
                "name": name,
                "description": text,
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
            for name, text in package.texts.items()
        ],
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
