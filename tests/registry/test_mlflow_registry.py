"""Registering, loading and searching in a real MLflow store."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from sgps.datasets.decoding import encode_png
from sgps.errors import InputError, IntegrityError, StoreError, UnknownNameError
from sgps.registry import ModelPackage, ModelRegistry, RegisteredVersion
from sgps.registry.contents import list_versions

BuildPackage = Callable[..., ModelPackage]
IMAGES = np.random.default_rng(5).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)


@pytest.fixture
def registered(registry: ModelRegistry, build_package: BuildPackage) -> RegisteredVersion:
    return registry.register(build_package())


@pytest.fixture
def pyfunc(
    registered: RegisteredVersion,
    tracking_uri: str,
    sgps_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    with pytest.warns(UserWarning, match="no ledger can be read here"):
        return mlflow.pyfunc.load_model(registered.model_uri)


def test_a_version_says_where_it_is(registered: RegisteredVersion, tracking_uri: str) -> None:
    assert registered.model_name == "skin-marks"
    assert registered.version == "1"
    assert registered.model_uri == "models:/skin-marks/1"
    assert registered.tracking_uri == tracking_uri


def test_a_version_carries_tags_and_a_description(
    registered: RegisteredVersion, registry: ModelRegistry, build_package: BuildPackage
) -> None:
    package = build_package()
    found = registry._client.get_model_version("skin-marks", "1")
    assert found.run_id == registered.run_id
    assert found.tags["requester"] == "Dr. Ada"
    assert found.tags["state"] == "draft"
    assert found.tags["weights_sha256"] == package.classifier.weights_sha256
    assert found.tags["image_hashes"].split() == [i.pixel_sha256[:12] for i in package.support]
    assert "not for clinical use" in found.description
    assert f"runs/{registered.run_id}/artifacts" in found.description
    run = registry._client.get_run(registered.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["n_way"] == "2"
    history = json.loads(run.data.tags["mlflow.log-model.history"])
    assert history[0]["artifact_path"] == "model"
    assert registry._client.get_registered_model("skin-marks").tags == {"task": "Skin marks"}


def test_the_run_holds_every_artifact(
    registered: RegisteredVersion, registry: ModelRegistry
) -> None:
    names = [item.path for item in registry._client.list_artifacts(registered.run_id)]
    assert names == ["audit.json", "card.html", "model", "request.json", "support", "texts.json"]
    model = [item.path for item in registry._client.list_artifacts(registered.run_id, "model")]
    assert "model/MLmodel" in model
    assert "model/requirements.txt" in model


def test_plain_mlflow_loads_and_predicts(pyfunc: Any, registry: ModelRegistry) -> None:
    expected = registry.load("models:/skin-marks/1").predict_proba(IMAGES)
    found = pyfunc.predict(IMAGES)
    assert list(found.columns) == ["melanoma", "naevus"]
    assert np.allclose(found.to_numpy(), expected, atol=1e-6)
    assert pyfunc.predict(IMAGES[:1]).shape == (1, 2)
    assert pyfunc.metadata.signature.inputs.inputs[0].shape == (-1, -1, -1, 3)
    assert pyfunc.metadata.signature.outputs.input_names() == ["melanoma", "naevus"]


def test_plain_mlflow_predicts_image_files(pyfunc: Any) -> None:
    expected = pyfunc.predict(IMAGES).to_numpy()
    files = [encode_png(pixels) for pixels in IMAGES]
    texts = np.array([base64.b64encode(data).decode() for data in files], dtype=object)
    assert np.allclose(pyfunc.predict(texts), expected, atol=1e-6)
    frame = pd.DataFrame({"image": files})
    assert np.allclose(pyfunc.predict(frame["image"].to_numpy(dtype=object)), expected, atol=1e-6)


def test_images_of_several_sizes_are_predicted(pyfunc: Any) -> None:
    mixed = np.empty(2, dtype=object)
    mixed[:] = [IMAGES[0], np.zeros((20, 30, 3), dtype=np.uint8)]
    assert pyfunc.predict(mixed).shape == (2, 2)


@pytest.mark.parametrize("value", [5, "not base64!", b"no image", None])
def test_what_is_no_image_is_refused(pyfunc: Any, value: object) -> None:
    column = np.empty(1, dtype=object)
    column[:] = [value]
    with pytest.raises(InputError, match="image 0"):
        pyfunc.predict(column)


def test_the_same_task_gets_the_next_version(
    registered: RegisteredVersion, registry: ModelRegistry, build_package: BuildPackage
) -> None:
    again = registry.register(build_package("SKIN  marks!"))
    assert again.model_uri == "models:/skin-marks/2"
    assert registry.register(build_package("Other")).model_uri == "models:/other/1"


@pytest.mark.parametrize("form", ["version", "latest", "alias", "run"])
def test_a_model_is_loaded_by_every_form_of_address(
    registered: RegisteredVersion, registry: ModelRegistry, form: str
) -> None:
    registry._client.set_registered_model_alias("skin-marks", "approved", "1")
    uri = {
        "version": "models:/skin-marks/1",
        "latest": "models:/skin-marks/latest",
        "alias": "models:/skin-marks@approved",
        "run": f"runs:/{registered.run_id}/model",
    }[form]
    classifier = registry.load(uri)
    assert classifier.class_names == ("melanoma", "naevus")
    assert registry.describe(uri).model_uri == "models:/skin-marks/1"
    assert registry.describe(uri).aliases == ("approved",)


def test_altered_weights_are_refused(
    registered: RegisteredVersion, registry: ModelRegistry, artifact_folder: Path
) -> None:
    (weights,) = artifact_folder.rglob("classifier.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x01\x02\x03")
    with pytest.raises(IntegrityError):
        registry.load(registered.model_uri)


def test_a_version_whose_files_are_gone_is_named(
    registered: RegisteredVersion, registry: ModelRegistry, artifact_folder: Path
) -> None:
    (weights,) = artifact_folder.rglob("classifier.safetensors")
    for file in weights.parent.iterdir():
        file.unlink()
    weights.parent.rmdir()
    with pytest.raises(UnknownNameError, match="holds no synthesized classifier"):
        registry.load(registered.model_uri)


def test_versions_are_searched_by_tag(registry: ModelRegistry, build_package: BuildPackage) -> None:
    registry.register(build_package("One"))
    registry.register(build_package("Two", requester="Bob O'Neil"))
    registry.register(build_package("Two", requester="Eve"))
    assert [found.model_uri for found in registry.search()] == [
        "models:/two/2", "models:/two/1", "models:/one/1"
    ]  # fmt: skip
    (found,) = registry.search(tags={"requester": "Bob O'Neil"})
    assert (found.task, found.requester, found.state) == ("Two", "Bob O'Neil", "draft")
    assert found.created.endswith("+00:00")
    assert [found.version for found in registry.search(model_name="two", limit=1)] == ["2"]
    assert registry.search(tags={"requester": "nobody"}) == []
    with pytest.raises(InputError, match="quotation"):
        registry.search(tags={"requester": "a'b\"c"})


def test_a_removed_version_leaves_nothing(
    registered: RegisteredVersion, registry: ModelRegistry, artifact_folder: Path
) -> None:
    registry.remove(registered)
    assert registry.search() == list_versions(registry) == []
    assert [path for path in artifact_folder.rglob("*") if path.is_file()] == []
    with pytest.raises(UnknownNameError):
        registry.load(registered.model_uri)


def test_removing_one_version_keeps_the_others(
    registered: RegisteredVersion, registry: ModelRegistry, build_package: BuildPackage
) -> None:
    registry.remove(registry.register(build_package()))
    assert [found.version for found in registry.search()] == ["1"]
    assert registry.load(registered.model_uri).class_names == ("melanoma", "naevus")


def test_the_number_of_a_removed_version_is_not_given_again(
    registered: RegisteredVersion, registry: ModelRegistry, build_package: BuildPackage
) -> None:
    registry.remove(registered)
    assert registry.register(build_package()).model_uri == "models:/skin-marks/2"


def test_removing_the_last_version_spares_one_that_another_process_makes_just_then(
    registered: RegisteredVersion,
    registry: ModelRegistry,
    build_package: BuildPackage,
    tracking_uri: str,
    artifact_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = ModelRegistry(tracking_uri, artifact_folder)
    made: list[RegisteredVersion] = []
    search = registry.client.search_model_versions

    def search_and_be_overtaken(*args: Any, **kwargs: Any) -> Any:
        found = search(*args, **kwargs)
        if not found and not made:
            made.append(other.register(build_package(request_id="e" * 32)))
        return found

    monkeypatch.setattr(registry.client, "search_model_versions", search_and_be_overtaken)
    registry.remove(registered)
    assert registry.request_runs("0" * 32) == []
    assert other.describe(made[0].model_uri).run_id == made[0].run_id


def test_what_came_of_a_request_is_found_and_discarded(
    registered: RegisteredVersion,
    registry: ModelRegistry,
    build_package: BuildPackage,
    artifact_folder: Path,
) -> None:
    steps: list[str] = []
    registry.register(build_package(request_id="e" * 32), progress=steps.append)
    assert steps == ["store_artifacts", "create_version"]
    (first,) = registry.request_runs(build_package().request_id)
    assert (first.run_id, first.version) == (registered.run_id, registered)
    assert registry.audit_record(first.run_id) == build_package().audit
    assert [run.request_id[0] for run in registry.request_runs()] == ["0", "e"]
    for run in registry.request_runs():
        registry.discard(run)
    assert registry.request_runs() == registry.search() == list_versions(registry) == []
    assert [path for path in artifact_folder.rglob("*") if path.is_file()] == []


def test_a_run_without_a_version_is_found_and_discarded(
    registered: RegisteredVersion, registry: ModelRegistry, build_package: BuildPackage
) -> None:
    class Killed(BaseException):
        pass

    def die(step: str) -> None:
        if step == "create_version":
            raise Killed

    registry._discard = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(Killed):
        registry.register(build_package(request_id="e" * 32), progress=die)
    del registry._discard
    (run,) = registry.request_runs("e" * 32)
    assert run.version is None
    registry.discard(run)
    assert [run.version for run in registry.request_runs()] == [registered]


def test_a_run_without_a_record_is_told_of(
    registered: RegisteredVersion, registry: ModelRegistry, artifact_folder: Path
) -> None:
    (record,) = artifact_folder.rglob("audit.json")
    record.unlink()
    with pytest.raises(IntegrityError, match="holds no audit record"):
        registry.audit_record(registered.run_id)


def test_versions_asked_for_at_once_are_numbered(
    registry: ModelRegistry, build_package: BuildPackage
) -> None:
    packages = [build_package(request_id=f"{n:032x}") for n in range(8)]
    registry.check_writable()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(registry.register, packages))
    assert sorted(one.version for one in made) == list("12345678")


def test_html_and_markdown_in_texts_do_not_act(
    registry: ModelRegistry, build_package: BuildPackage
) -> None:
    evil = "<img src=x onerror=alert(1)> [click](javascript:alert(1)) | **bold** `code`"
    registered = registry.register(build_package("evil", text=evil, purpose=evil, requester=evil))
    found = registry._client.get_model_version(registered.model_name, registered.version)
    assert "<img" not in found.description
    assert "[click](" not in found.description
    assert "\\*\\*bold" in found.description


def test_nothing_global_of_mlflow_is_changed(
    registry: ModelRegistry, build_package: BuildPackage
) -> None:
    before = (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run())
    environment = dict(os.environ)
    registered = registry.register(build_package())
    registry.load(registered.model_uri)
    registry.check_writable()
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run()) == before
    assert dict(os.environ) == environment


@pytest.mark.parametrize(
    "uri",
    [
        "http://steward:hunter2@127.0.0.1:9",
        "postgresql://steward:hunter2@127.0.0.1:9/mlflow",
        "http://nowhere.invalid:5000",
    ],
)
def test_a_store_that_does_not_answer_is_told_of_within_seconds(uri: str) -> None:
    with pytest.raises(StoreError) as caught:
        ModelRegistry(uri)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for uri in (f"sqlite:///{tmp_path}/file/mlflow.db", f"sqlite:///{tmp_path}"):
        with pytest.raises(StoreError):
            ModelRegistry(uri)
    (tmp_path / "no.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        ModelRegistry(f"sqlite:///{tmp_path}/no.db")


def test_an_artifact_folder_that_cannot_be_written(tracking_uri: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/artifacts"):
        ModelRegistry(tracking_uri, tmp_path / "file" / "artifacts").check_writable()


def test_a_locked_store_is_told_of(
    registry: ModelRegistry, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgps.registry._reachability._SECONDS", 0.1)
    blocker = sqlite3.connect(tracking_uri.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        registry.check_writable()
    blocker.execute("ROLLBACK")
    blocker.close()
    registry.check_writable()


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "bogus://x", "sqlite:nothing", ""])
def test_a_store_of_an_unknown_kind_is_refused(uri: str) -> None:
    with pytest.raises(StoreError):
        ModelRegistry(uri)


def _open_in_process(uri: str) -> None:
    ModelRegistry(uri).search()


def test_processes_make_a_new_store_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    workers = [context.Process(target=_open_in_process, args=(uri,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
