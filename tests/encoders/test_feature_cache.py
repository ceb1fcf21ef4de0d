import pytest
import torch

from sgps.encoders import CachedImageEncoder
from sgps.errors import StoreError


class CountingEncoder:
    name = "mean/colour"
    version = "1"
    width = 3

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, images):
        self.encoded += len(images)
        return images.float().mean((2, 3))


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8, generator=generator)


def test_each_image_is_encoded_once(tmp_path, images):
    encoder = CountingEncoder()
    cached = CachedImageEncoder(encoder, tmp_path)
    expected = encoder.encode(images)
    encoder.encoded = 0
    doubled = torch.cat([images[:3], images[:3]])
    assert torch.equal(cached.encode(doubled), torch.cat([expected[:3], expected[:3]]))
    assert encoder.encoded == 3
    assert torch.equal(CachedImageEncoder(encoder, tmp_path).encode(images), expected)
    assert encoder.encoded == 5
    assert cached.encode(images[:0]).shape == (0, 3)


def test_versions_do_not_share_entries(tmp_path, images):
    first, second = CountingEncoder(), CountingEncoder()
    second.version = "2"
    CachedImageEncoder(first, tmp_path).encode(images)
    CachedImageEncoder(second, tmp_path).encode(images)
    assert second.encoded == 5


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-1], lambda data: b"\x00" + data[1:]]
)
def test_damaged_entries_are_computed_again(tmp_path, images, damage):
    encoder = CountingEncoder()
    cached = CachedImageEncoder(encoder, tmp_path)
    expected = cached.encode(images)
    entries = list(tmp_path.rglob("*.npy"))
    entries[0].write_bytes(damage(entries[0].read_bytes()))
    assert torch.equal(cached.encode(images), expected)
    assert encoder.encoded == 6
    cached.encode(images)
    assert encoder.encoded == 6


def test_size_is_part_of_the_key(tmp_path):
    encoder = CountingEncoder()
    cached = CachedImageEncoder(encoder, tmp_path)
    cached.encode(torch.zeros(1, 3, 4, 6, dtype=torch.uint8))
    cached.encode(torch.zeros(1, 3, 6, 4, dtype=torch.uint8))
    assert encoder.encoded == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path, images):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        CachedImageEncoder(CountingEncoder(), tmp_path / "file").encode(images)
