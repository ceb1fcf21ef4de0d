from __future__ import annotations

from pathlib import Path

import pytest

from sgps.errors import UnknownNameError
from sgps.synthesizer.generator_folder import (
    GENERATOR_FILES,
    find_generator,
    shipped_generators,
)


def draw_generator(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in GENERATOR_FILES:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", shipped_generators())
def test_a_shipped_one_is_found_by_its_name_and_whole(name: str) -> None:
    folder = find_generator(name)
    assert folder.name == name
    assert all((folder / file).is_file() for file in GENERATOR_FILES)


def test_the_default_is_shipped() -> None:
    assert "default" in shipped_generators()


@pytest.mark.parametrize("file", ["", *GENERATOR_FILES])
def test_a_checkpoint_is_found_by_its_folder_or_a_file_of_it(tmp_path: Path, file: str) -> None:
    folder = draw_generator(tmp_path / "mine")
    assert find_generator(folder / file) == folder


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = draw_generator(tmp_path / "default")
    monkeypatch.chdir(tmp_path)
    assert find_generator("default") != Path("default")
    assert find_generator("./default").resolve() == find_generator(mine).resolve()


@pytest.mark.parametrize("name", ["no-such", "", "../generators", "mine/generator.onnx"])
def test_what_is_none_is_named_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    draw_generator(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=f"there is no generator '{name}'") as caught:
        find_generator(name)
    assert "default, open" in str(caught.value)
