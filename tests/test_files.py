from __future__ import annotations

import os
import resource
import stat

import pytest

from sgps.errors import StoreError
from sgps.files import whole_file, write_all_whole, write_whole


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_text_is_written_as_it_is_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    write_whole(path, "größer\r\n\n")
    assert path.read_bytes() == "größer\r\n\n".encode()
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["a", "b", "file.txt"]


def test_a_file_of_before_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    write_whole(path, "old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
        assert len(names(tmp_path)) == 2
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_where_the_block_fails_nothing_changes(tmp_path, error):
    path = tmp_path / "file"
    write_whole(path, "old")

    def fail():
        with whole_file(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_who_may_read_it(tmp_path, umask):
    public, private = tmp_path / "public", tmp_path / "private"
    for _ in range(2):
        write_whole(public, "x")
        write_whole(private, "x", private=True)
        assert (rights(public), rights(private)) == (0o640, 0o600)
    public.chmod(0o604)
    private.chmod(0o644)
    write_whole(public, "y")
    write_whole(private, "y", private=True)
    assert (rights(public), rights(private)) == (0o604, 0o600)


def test_a_private_file_is_never_readable_by_others(tmp_path):
    with whole_file(tmp_path / "file", private=True):
        (partial,) = tmp_path.iterdir()
        assert rights(partial) == 0o600


def test_what_is_in_the_way_is_named_with_a_remedy(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(StoreError, match=r"folder: cannot be written \(a folder has its name\)"):
        write_whole(folder, "x")
    write_whole(tmp_path / "file", "x")
    with pytest.raises(StoreError, match=r"below: cannot be written \(.+\).*choose another"):
        write_whole(tmp_path / "file" / "below", "x")
    assert names(tmp_path) == ["file", "folder"]


def test_what_the_system_refuses_is_told_and_the_file_of_before_stays(tmp_path):
    path = tmp_path / "file"
    write_whole(path, "old")
    full = OSError(28, "No space left on device")
    message = r"file: cannot be written \(No space left on device\); expected a folder with room"
    with pytest.raises(StoreError, match=message), whole_file(path):
        raise full
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.fixture
def files_of_a_kilobyte():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_one_of_several_has_no_room_it_is_named_and_none_is_changed(
    tmp_path, files_of_a_kilobyte
):
    first, second = tmp_path / "first", tmp_path / "second"
    write_all_whole({first: "1", second: "2"})
    with pytest.raises(StoreError, match=r"first: cannot be written \(File too large\)"):
        write_all_whole({first: "x" * 5000, second: "new"})
    assert (first.read_text(), second.read_text()) == ("1", "2")
    assert names(tmp_path) == ["first", "second"]


def test_several_files_are_written_or_none(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write_all_whole({first: "1", second: b"2"})
    assert (first.read_text(), second.read_bytes()) == ("1", b"2")
    second.unlink()
    second.mkdir()
    with pytest.raises(StoreError, match="second: cannot be written"):
        write_all_whole({first: "new", second: "new"})
    assert first.read_text() == "1"
    assert names(tmp_path) == ["first", "second"]
