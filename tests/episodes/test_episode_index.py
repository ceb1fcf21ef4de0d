from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from sgps.episodes import ClassPool, EpisodeIndex, EpisodeSpec, sample_episodes
from sgps.errors import InputError, IntegrityError, StoreError


@pytest.fixture
def index() -> EpisodeIndex:
    frame = pd.DataFrame(
        {
            "file": [f"{row}.png" for row in range(40)],
            "label": [f"c{row % 4}" for row in range(40)],
            "group": [f"g{row}" for row in range(40)],
            "role": "meta_train",
        }
    )
    spec = EpisodeSpec((2, 4), 2, 3, unequal_shots=True)
    pool = ClassPool.from_frame(frame, domain="drawn")
    episodes = sample_episodes([pool], spec, count=5, seed=9)
    return EpisodeIndex(tuple(episodes), spec, 9, {"drawn": "a" * 64, "another": "b" * 64})


def test_an_index_comes_back_as_it_was_saved(index: EpisodeIndex, tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "episodes.json"
    index.save(path)
    loaded = EpisodeIndex.load(path)
    assert loaded == index
    assert loaded.digest == index.digest
    assert [file.name for file in path.parent.iterdir()] == ["episodes.json"]


def test_the_digest_covers_everything(index: EpisodeIndex) -> None:
    others = [
        EpisodeIndex(index.episodes[:-1], index.spec, 9, index.dataset_digests),
        EpisodeIndex(index.episodes, EpisodeSpec(2, 2, 3), 9, index.dataset_digests),
        EpisodeIndex(index.episodes, index.spec, 10, index.dataset_digests),
        EpisodeIndex(index.episodes, index.spec, 9, {"drawn": "c" * 64}),
    ]
    assert len({index.digest, *(other.digest for other in others)}) == 5
    turned = dict(reversed(list(index.dataset_digests.items())))
    assert EpisodeIndex(index.episodes, index.spec, 9, turned).digest == index.digest


def test_changed_datasets_are_noticed(index: EpisodeIndex) -> None:
    index.check_datasets({"drawn": "a" * 64, "another": "b" * 64, "third": "c" * 64})
    with pytest.raises(IntegrityError, match=r"dataset drawn has digest cccc.*; expected aaaa"):
        index.check_datasets({"drawn": "c" * 64, "another": "b" * 64})
    with pytest.raises(InputError, match="dataset another of the episode index is missing"):
        index.check_datasets({"drawn": "a" * 64})


def test_each_domain_needs_a_digest(index: EpisodeIndex) -> None:
    with pytest.raises(InputError, match="episodes of drawn without the digest"):
        EpisodeIndex(index.episodes, index.spec, 9, {})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seed":9', '"seed":8'),
        ('"drawn"', '"drown"'),
        ('"format":"sgps-episodes"', '"format":"other"'),
        ('"k_shot":2', '"k_shot":0'),
        ("}", ""),
        ('"classes"', '"klasses"'),
    ],
)
def test_a_changed_file_is_refused(index: EpisodeIndex, tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "episodes.json"
    index.save(path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"episodes\.json: not the episode index that was"):
        EpisodeIndex.load(path)


@pytest.mark.parametrize("content", ["", "[]", "null", "\xff"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "episodes.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(IntegrityError):
        EpisodeIndex.load(path)


def test_missing_and_unwritable_files_are_named(index: EpisodeIndex, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: cannot be read \(No such file"):
        EpisodeIndex.load(tmp_path / "none.json")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        index.save(tmp_path / "file" / "episodes.json")


def test_the_json_is_plain(index: EpisodeIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "e.json")
    content = json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))
    assert content["digest"] == index.digest
    assert content["spec"] == {"n_way": [2, 4], "k_shot": 2, "n_query": 3, "unequal_shots": True}
    assert content["episodes"][0]["domain"] == "drawn"
