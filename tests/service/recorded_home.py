"""A home with three recorded models, made once and copied for each test."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sgps.datasets.decoding import read_image
from sgps.service.requests import SynthesisRequest
from sgps.service.synthesis import SynthesisReceipt, synthesize_request
from sgps.service.verification import AuditReport
from sgps.service.workspace import open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

SECRET = "Secret words about melanoma."
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_made: dict[Path, tuple[SynthesisReceipt, ...]] = {}


@dataclass(frozen=True)
class RecordedHome:
    """Three models: ``first`` and ``second`` of the same images, ``third`` of others.

    The images of ``first`` have persons: ``person-<class>-<number>``.
    """

    settings: Settings
    images: Path
    first: SynthesisReceipt
    second: SynthesisReceipt
    third: SynthesisReceipt

    def image(self, name: str) -> Path:
        return self.images / f"{name}.png"

    def digest(self, name: str) -> str:
        return read_image(self.image(name)).pixel_sha256

    def artifacts(self, receipt: SynthesisReceipt) -> Path:
        return self.settings.artifact_folder / receipt.run_id / "artifacts"

    def content(self) -> bytes:
        """The bytes of every file, one after the other."""
        files = sorted(path for path in self.settings.home_folder.rglob("*") if path.is_file())
        return b"".join(path.read_bytes() for path in files)


def request_of(
    folder: Path, task: str, labels: tuple[str, ...] = ("melanoma", "naevus"), persons: bool = False
) -> SynthesisRequest:
    """Two images a class; melanoma is described."""
    classes = [
        {
            "name": label,
            "description": SECRET if label == "melanoma" else "",
            "images": [f"{label}-0.png", f"{label}-1.png"],
            "persons": [f"person-{label}-0", f"person-{label}-1"] if persons else [],
        }
        for label in labels
    ]
    fields = {"task": task, "requester": "Dr. Ada", "purpose": "A test.", "classes": classes}
    return SynthesisRequest.parse(fields, folder=folder)


def copy_home(fresh_home: Path, generator: Synthesizer, target: Path) -> RecordedHome:
    """A home of one's own below ``target``, artifacts and all."""
    source = fresh_home.parent / "recorded"
    if source not in _made:
        _make(fresh_home, generator, source)
    shutil.copytree(source, target / "recorded")
    home = target / "recorded" / "home"
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as store:
        for table, column in _PLACES:
            store.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (str(source / "home"), str(home)),
            )
        store.commit()
    return RecordedHome(Settings(home=home), target / "recorded" / "images", *_made[source])


def _make(fresh_home: Path, generator: Synthesizer, source: Path) -> None:
    images = source / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for label in ("melanoma", "naevus", "wart", "angioma"):
        for place in range(2):
            coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((40, 40)).save(images / f"{label}-{place}.png")
    shutil.copytree(fresh_home, source / "home")
    with open_workspace(Settings(home=source / "home")) as workspace:
        _made[source] = tuple(
            synthesize_request(request, workspace, generator)
            for request in (
                request_of(images, "First", persons=True),
                request_of(images, "Second"),
                request_of(images, "Third", ("wart", "angioma")),
            )
        )


def only_finding(report: AuditReport) -> tuple[str, str, str]:
    assert not report.passed
    assert len(report.findings) == 1, report.findings
    found = report.findings[0]
    return found.kind, found.subject, found.where


def reword(path: Path) -> None:
    path.write_text(path.read_text().replace("Secret words", "Other words"))
