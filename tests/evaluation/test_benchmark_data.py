from dataclasses import replace

import numpy as np
import pytest
from colour_benchmark import ask, write_manifest
from PIL import Image

from sgps.errors import InputError
from sgps.evaluation import load_benchmark_data


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("colours"))


def test_images_are_those_of_the_role_at_the_resolution(manifest):
    stages = []
    data = load_benchmark_data(ask(manifest), lambda *call: stages.append(call))
    assert data.images.shape == (48, 3, 32, 32)
    assert data.absent is None
    assert stages[0] == ("images", 1, 48)
    assert stages[-1] == ("images", 48, 48)
    for row, file in enumerate(data.frame["file"]):
        original = np.asarray(Image.open(manifest.parent / file))[0, 0]
        np.testing.assert_array_equal(data.images[row, :, 5, 5], original)


def test_images_of_absent_classes_follow_those_of_the_role(manifest, tmp_path):
    data = load_benchmark_data(ask(manifest, absent_role="meta_val"))
    assert data.images.shape == (80, 3, 32, 32)
    assert set(data.absent["label"]) == {"grey", "white"}
    assert (data.images[48:64] == 120).all()
    assert data.digest == load_benchmark_data(ask(manifest)).digest
    elsewhere = ask(manifest, absent_role="meta_val", absent_manifest=write_manifest(tmp_path))
    assert load_benchmark_data(elsewhere).absent_digest == data.absent_digest


def test_digest_follows_the_pixels_and_not_the_order_or_the_place(manifest, tmp_path):
    data = load_benchmark_data(ask(manifest))
    lines = manifest.read_text().splitlines()
    moved = tmp_path / "moved.csv"
    rows = [f"{manifest.parent}/{line}" for line in reversed(lines[1:-1])]
    moved.write_text("\n".join([lines[0], *rows]))
    assert load_benchmark_data(ask(moved)).digest == data.digest
    Image.new("RGB", (40, 48)).save(tmp_path / "other.png")
    further = f"{tmp_path}/other.png,red,red-99,novel_test,,,,"
    moved.write_text("\n".join([lines[0], further, *rows]))
    assert load_benchmark_data(ask(moved)).digest != data.digest


@pytest.mark.parametrize(
    ("column", "value"),
    [("sex", "M"), ("age", 31.0), ("age", None), ("text", "a note"), ("extra", "fitzpatrick=6")],
)
def test_metadata_digest_follows_what_is_told_of_the_images(manifest, column, value):
    data = load_benchmark_data(ask(manifest))
    turned = replace(data, frame=data.frame.iloc[::-1].reset_index(drop=True))
    assert turned.metadata_digest == data.metadata_digest
    told = data.frame.copy()
    told.loc[0, column] = value
    other = replace(data, frame=told)
    assert other.metadata_digest != data.metadata_digest
    assert other.digest == data.digest
    assert replace(data, frame=data.frame.copy()).metadata_digest == data.metadata_digest


def test_metadata_digest_of_nothing_told(manifest):
    data = load_benchmark_data(ask(manifest))
    bare = data.frame.drop(columns=["sex", "age", "site", "text", "extra"])
    assert len(replace(data, frame=bare).metadata_digest) == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_way", 1), ("k_shot", 0), ("n_query", 0), ("episodes", 1), ("seed", -1),
        ("resolution", 8), ("iterative_episodes", 1), ("corruption_episodes", -1),
        ("min_groups", -1),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(manifest, name, value):
    with pytest.raises(InputError, match=f"{name} is {value}; expected"):
        ask(manifest, **{name: value})
