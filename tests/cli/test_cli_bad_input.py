"""Bad input: one line that names it, exit code 2, nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cli_outcome import KINDS, Sgps
from PIL import Image

from sgps.audit import Ledger
from sgps.registry import ModelRegistry
from sgps.settings import load_settings


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test neither ledger nor registry holds anything, nor the artifact folder a file."""
    yield
    settings = load_settings()
    with Ledger.open(settings.resolved_ledger_url.get_secret_value()) as ledger:
        assert ledger.entries() == []
    registry = ModelRegistry(settings.resolved_tracking_uri, settings.artifact_folder)
    assert registry.search() == []
    assert [path for path in settings.artifact_folder.rglob("*") if path.is_file()] == []


@pytest.fixture
def task(lesions: Path) -> Path:
    """A task file beside the lesions, sound as it stands."""
    path = lesions.parent / "task.yaml"
    write_task(path, images={kind: [f"lesions/{kind}/0.png"] for kind in KINDS})
    return path


def write_task(path: Path, images: dict[str, list[str]], description: str = "") -> None:
    classes = [
        {"name": kind, "description": description, "images": files}
        for kind, files in images.items()
    ]
    content = {"task": "t", "requester": "r", "purpose": "p", "classes": classes}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.mark.usefixtures("nothing_left")
class TestSynthesize:
    def test_unreadable_image(self, sgps: Sgps, lesions: Path) -> None:
        (lesions / "angioma" / "1.png").write_bytes(b"no image at all")
        sgps("synthesize", lesions, "--json").assert_one_line_error("1.png")

    def test_huge_image(self, sgps: Sgps, lesions: Path) -> None:
        Image.new("1", (10_000, 10_000)).save(lesions / "angioma" / "1.png")
        sgps("synthesize", lesions, "--json").assert_one_line_error("1.png", "pixels")

    def test_huge_file(self, sgps: Sgps, lesions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SGPS_MAX_IMAGE_BYTES", "100")
        sgps("synthesize", lesions, "--json").assert_one_line_error("bytes")

    def test_folder_class_without_images(self, sgps: Sgps, lesions: Path) -> None:
        (lesions / "empty").mkdir()
        sgps("synthesize", lesions, "--json").assert_one_line_error("empty")

    def test_listed_class_without_images(self, sgps: Sgps, task: Path) -> None:
        write_task(task, {"angioma": ["lesions/angioma/0.png"], "melanoma": []})
        sgps("synthesize", task, "--json").assert_one_line_error("classes[1].images")

    def test_the_same_image_in_two_classes(self, sgps: Sgps, lesions: Path) -> None:
        shutil.copy(lesions / "angioma" / "0.png", lesions / "melanoma" / "9.png")
        sgps("synthesize", lesions, "--json").assert_one_line_error("angioma", "melanoma")

    def test_a_photo_saved_again_in_another_class(self, sgps: Sgps, lesions: Path) -> None:
        with Image.open(lesions / "angioma" / "0.png") as image:
            image.save(lesions / "melanoma" / "9.jpg", quality=92)
        sgps("synthesize", lesions, "--json").assert_one_line_error("angioma", "melanoma")

    @pytest.mark.parametrize("file", ["descriptions.yaml", "angioma/description.txt"])
    def test_a_description_that_leads_out_of_the_folder(
        self, sgps: Sgps, lesions: Path, tmp_path: Path, file: str
    ) -> None:
        outside = tmp_path / "outside.yaml"
        outside.write_text("angioma: a secret\n")
        (lesions / file).symlink_to(outside)
        sgps("synthesize", lesions, "--json").assert_one_line_error("leads out of")

    def test_text_of_a_megabyte(self, sgps: Sgps, task: Path) -> None:
        write_task(task, {kind: [f"lesions/{kind}/0.png"] for kind in KINDS}, "a" * 1_000_000)
        sgps("synthesize", task, "--json").assert_one_line_error()

    def test_text_a_little_too_long(self, sgps: Sgps, task: Path) -> None:
        write_task(task, {kind: [f"lesions/{kind}/0.png"] for kind in KINDS}, "a" * 8_001)
        sgps("synthesize", task, "--json").assert_one_line_error("description", "8,000")

    @pytest.mark.parametrize("file", ["../secret.png", "lesions/../../secret.png"])
    def test_a_path_that_leaves_its_folder(self, sgps: Sgps, task: Path, file: str) -> None:
        shutil.copy(
            task.parent / "lesions" / "angioma" / "0.png", task.parent.parent / "secret.png"
        )
        write_task(task, {"angioma": [file], "melanoma": ["lesions/melanoma/0.png"]})
        sgps("synthesize", task, "--json").assert_one_line_error("secret.png")

    def test_a_missing_image(self, sgps: Sgps, task: Path) -> None:
        write_task(task, {"angioma": ["x.png"], "melanoma": ["lesions/melanoma/0.png"]})
        sgps("synthesize", task, "--json").assert_one_line_error("x.png")

    def test_a_missing_field(self, sgps: Sgps, task: Path) -> None:
        content = yaml.safe_load(task.read_text())
        del content["purpose"]
        task.write_text(yaml.safe_dump(content))
        sgps("synthesize", task, "--json").assert_one_line_error("purpose")

    def test_no_such_task(self, sgps: Sgps, tmp_path: Path) -> None:
        sgps("synthesize", tmp_path / "nosuch.yaml", "--json").assert_one_line_error("nosuch.yaml")

    def test_unknown_generator(self, sgps: Sgps, lesions: Path) -> None:
        made = sgps("synthesize", lesions, "--generator", "nosuch", "--json")
        made.assert_one_line_error("nosuch")


class TestStores:
    def test_unwritable_home(
        self, sgps: Sgps, lesions: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SGPS_HOME", str(lesions / "angioma" / "0.png" / "home"))
        sgps("synthesize", lesions, "--json").assert_one_line_error("0.png")
        sgps("demo").assert_one_line_error("0.png")

    def test_unwritable_registry(
        self, sgps: Sgps, lesions: Path, sgps_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocked = lesions / "angioma" / "0.png" / "mlflow.db"
        monkeypatch.setenv("SGPS_TRACKING_URI", f"sqlite:///{blocked}")
        sgps("synthesize", lesions, "--json").assert_one_line_error("tracking store")
        with Ledger.open(f"sqlite:///{sgps_home / 'ledger.db'}") as ledger:
            assert ledger.entries() == []

    def test_unwritable_ledger(
        self, sgps: Sgps, lesions: Path, sgps_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocked = lesions / "angioma" / "0.png" / "ledger.db"
        monkeypatch.setenv("SGPS_LEDGER_URL", f"sqlite:///{blocked}")
        sgps("synthesize", lesions, "--json").assert_one_line_error("ledger")
        assert not (sgps_home / "mlflow" / "artifacts").exists()

    def test_unreachable_server(
        self, sgps: Sgps, lesions: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SGPS_TRACKING_URI", "http://127.0.0.1:9")
        sgps("synthesize", lesions, "--json").assert_one_line_error("127.0.0.1:9")

    def test_unwritable_dataset_root(self, sgps: Sgps, lesions: Path) -> None:
        root = lesions / "angioma" / "0.png"
        made = sgps("ingest", "x", "--source", "folder", "--location", lesions, "--root", root)
        made.assert_one_line_error("0.png")


class TestDatasets:
    def ingest(self, sgps: Sgps, source: str, location: Path, root: Path, *words: str) -> None:
        made = sgps("ingest", "bad", "--source", source, "--location", location, "--root", root)
        made.assert_one_line_error(*words)
        assert not root.exists() or list(root.iterdir()) == []

    def test_unreadable_image(self, sgps: Sgps, lesions: Path, tmp_path: Path) -> None:
        (lesions / "angioma" / "1.png").write_bytes(b"no image at all")
        self.ingest(sgps, "folder", lesions, tmp_path / "root", "1.png")

    def test_huge_image(self, sgps: Sgps, lesions: Path, tmp_path: Path) -> None:
        Image.new("1", (10_000, 10_000)).save(lesions / "angioma" / "1.png")
        self.ingest(sgps, "folder", lesions, tmp_path / "root", "1.png")

    def test_unknown_dataset(self, sgps: Sgps, tmp_path: Path) -> None:
        sgps("validate", "nosuch", "--root", tmp_path).assert_one_line_error("nosuch")
        sgps("validate", "--all", "--root", tmp_path).assert_one_line_error("no dataset")

    def test_manifest_with_a_missing_column(
        self, sgps: Sgps, lesions: Path, tmp_path: Path
    ) -> None:
        manifest = lesions / "manifest.csv"
        manifest.write_text("file,label,role\nangioma/0.png,angioma,novel_test\n")
        self.ingest(sgps, "manifest", manifest, tmp_path / "root", "group")
        sgps("benchmark", "--manifest", manifest).assert_one_line_error("group")

    def test_manifest_path_that_leaves_its_folder(
        self, sgps: Sgps, lesions: Path, tmp_path: Path
    ) -> None:
        shutil.copy(lesions / "angioma" / "0.png", lesions.parent / "secret.png")
        manifest = lesions / "manifest.csv"
        manifest.write_text("file,label,group,role\n../secret.png,angioma,1,novel_test\n")
        self.ingest(sgps, "manifest", manifest, tmp_path / "root", "secret.png")

    @pytest.mark.parametrize("option", ["images_per_class=abc", "roles=5", "size=[1]"])
    def test_an_option_of_the_wrong_form(self, sgps: Sgps, tmp_path: Path, option: str) -> None:
        made = sgps("ingest", "x", "--source", "phantom", "--root", tmp_path, "--option", option)
        made.assert_one_line_error("phantom source")
        assert list(tmp_path.iterdir()) == []


class TestBenchmark:
    @pytest.mark.parametrize(
        ("option", "place"), [("--json", "0.png/report.json"), ("--json", "."), ("--plot", "p.xyz")]
    )
    def test_an_output_that_cannot_be_written_is_found_at_once(
        self, sgps: Sgps, lesions: Path, option: str, place: str
    ) -> None:
        folder = lesions / "angioma"
        before = sorted(folder.iterdir())
        made = sgps("benchmark", "--manifest", "nosuch.csv", option, folder / place)
        made.assert_one_line_error(str(folder))
        assert sorted(folder.iterdir()) == before

    def test_one_image_under_two_labels(self, sgps: Sgps, lesions: Path) -> None:
        rows = [
            f"{kind}/{number}.png,{kind},{kind}{number},novel_test"
            for kind in KINDS
            for number in (0, 1)
        ]
        other = f"{KINDS[0]}/0.png"
        rows[-1] = rows[-1].replace(rows[-1].split(",")[0], "copy.png")
        shutil.copy(lesions / other, lesions / "copy.png")
        manifest = lesions / "manifest.csv"
        manifest.write_text("\n".join(["file,label,group,role", *rows]) + "\n")
        made = sgps("benchmark", "--manifest", manifest, "--n-way", 2, "--k-shot", 1)
        assert made.code == 2
        assert "the same image" in made.stderr
