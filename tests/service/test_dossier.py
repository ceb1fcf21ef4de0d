"""Exporting a record, checking it, and noticing whatever was done to it."""

from __future__ import annotations

import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_home import SECRET, RecordedHome

from sgps.errors import IntegrityError, StoreError, UnknownNameError
from sgps.service import _archive
from sgps.service._signing import SigningKey
from sgps.service.dossier import check_export, export_record
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.workspace import Workspace
from sgps.settings import Settings

Members = dict[str, bytes]


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


@pytest.fixture
def exported(workspace: Workspace, home: RecordedHome, tmp_path: Path) -> Path:
    path = tmp_path / "first.zip"
    export_record(home.first.model_uri, path, workspace, by="Dr. Eve")
    return path


def read(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: Members, infos: dict[str, zipfile.ZipInfo] | None = None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr((infos or {}).get(name, zipfile.ZipInfo(name)), data)


def sign_again(members: Members, settings: Settings, **changes: object) -> Members:
    """The members under a manifest that lists them as they are, signed with this home's key."""
    content = {
        name: data
        for name, data in members.items()
        if name not in (_archive.MANIFEST, _archive.SIGNATURE)
    }
    facts = {**json.loads(members[_archive.MANIFEST]), **changes}
    path = settings.home_folder / "signed.zip"
    _archive.write_archive(path, facts, content, SigningKey.open(settings))
    return read(path)


def test_an_export_checks_anywhere(
    workspace: Workspace, home: RecordedHome, tmp_path: Path
) -> None:
    path = tmp_path / "a" / "first.zip"
    receipt = export_record(home.first.model_uri, path, workspace, by="Dr. Eve")
    workspace.close()
    home.settings.home_folder.rename(tmp_path / "elsewhere")
    found = check_export(path, fingerprint=receipt.fingerprint)
    assert found.model_uri == home.first.model_uri
    assert found.trusted is True
    assert found.findings == ()
    assert found.entries == receipt.entries == 2
    assert check_export(path).trusted is None
    members = read(path)
    assert SECRET in members["artifacts/texts.json"].decode()
    assert "artifacts/card.html" in members
    assert list(members) == [_archive.MANIFEST, _archive.SIGNATURE, *sorted(list(members)[2:])]
    kinds = [entry["kind"] for entry in json.loads(members["entries.json"])]
    assert kinds == ["synthesize", "access"]
    key = tmp_path / "elsewhere" / "keys" / "export-ed25519.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert not list(path.parent.glob(".*"))


def test_an_export_holds_every_entry_about_the_model(
    workspace: Workspace, home: RecordedHome, tmp_path: Path
) -> None:
    from sgps.service.review import submit_for_review

    submit_for_review(home.second.model_uri, workspace, reviewer="Dr. Ada")
    erase(
        ErasureSelection(model_uri=home.second.model_uri), workspace, by="Dr. Eve", reason="Gone."
    )
    receipt = export_record(home.second.model_uri, tmp_path / "s.zip", workspace, by="Dr. Eve")
    members = read(tmp_path / "s.zip")
    kinds = [entry["kind"] for entry in json.loads(members["entries.json"])]
    assert kinds == ["synthesize", "review", "erasure", "erasure", "access"]
    assert not any(name.startswith("artifacts/") for name in members)
    assert check_export(tmp_path / "s.zip", fingerprint=receipt.fingerprint).findings == ()


def test_the_same_content_gives_the_same_bytes(home: RecordedHome, tmp_path: Path) -> None:
    key = SigningKey.open(home.settings)
    for name in ("one", "two"):
        _archive.write_archive(tmp_path / name, {"a": 1}, {"b": b"2", "a/c.png": b"3"}, key)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_every_alteration_of_a_member_is_noticed(exported: Path, tmp_path: Path) -> None:
    members = read(exported)
    for name in members:
        altered = bytearray(members[name])
        altered[len(altered) // 2] ^= 1
        write(tmp_path / "altered.zip", {**members, name: bytes(altered)})
        with pytest.raises(IntegrityError, match="the archive"):
            check_export(tmp_path / "altered.zip")
        write(tmp_path / "cut.zip", {n: data for n, data in members.items() if n != name})
        with pytest.raises(IntegrityError, match="the archive"):
            check_export(tmp_path / "cut.zip")
    write(tmp_path / "more.zip", {**members, "artifacts/more.txt": b"x"})
    with pytest.raises(IntegrityError, match=r"more\.txt"):
        check_export(tmp_path / "more.zip")


def test_another_key_is_noticed(exported: Path, tmp_path: Path) -> None:
    wanted = check_export(exported).fingerprint
    other = Settings(home=tmp_path / "other")
    (tmp_path / "other").mkdir()
    write(tmp_path / "other.zip", sign_again(read(exported), other))
    assert check_export(tmp_path / "other.zip").fingerprint != wanted
    with pytest.raises(IntegrityError, match="the key that signed it"):
        check_export(tmp_path / "other.zip", fingerprint=wanted)


def _reason(members: Members) -> Members:
    text = members["entries.json"].replace(b"A test.", b"A rest.")
    return {**members, "entries.json": text}


def _gap(members: Members) -> Members:
    chain = json.loads(members["chain.json"])
    del chain[1]
    return {**members, "chain.json": json.dumps(chain).encode()}


def _other_end(members: Members) -> Members:
    checkpoint = json.loads(members["checkpoint.json"])
    checkpoint["digest"] = "0" * 64
    return {**members, "checkpoint.json": json.dumps(checkpoint).encode()}


def _no_list(members: Members) -> Members:
    return {**members, "entries.json": b"{}"}


def _deep(members: Members) -> Members:
    return {**members, "chain.json": b"[" * 100_000}


@pytest.mark.parametrize("alter", [_reason, _gap, _other_end, _no_list, _deep])
def test_what_an_owner_of_the_key_alters_is_noticed(
    exported: Path, home: RecordedHome, tmp_path: Path, alter: Callable[[Members], Members]
) -> None:
    write(tmp_path / "forged.zip", sign_again(alter(read(exported)), home.settings))
    with pytest.raises(IntegrityError, match="the archive"):
        check_export(tmp_path / "forged.zip")


def test_artifacts_that_do_not_match_the_entry_are_named(
    exported: Path, home: RecordedHome, tmp_path: Path
) -> None:
    members = read(exported)
    texts = members["artifacts/texts.json"].replace(b"Secret", b"Other")
    forged = sign_again({**members, "artifacts/texts.json": texts}, home.settings)
    write(tmp_path / "forged.zip", forged)
    findings = check_export(tmp_path / "forged.zip").findings
    assert [found.where for found in findings] == ["texts.json, description of 'melanoma'"]


@pytest.mark.parametrize(
    "name", ["../out.txt", "/out.txt", "a/../../out.txt", "a\\..\\out", "C:/out", "a//b", "a\nb"]
)
def test_names_that_lead_out_are_refused(
    exported: Path, home: RecordedHome, tmp_path: Path, name: str
) -> None:
    members = sign_again({**read(exported), f"artifacts/{name}": b"x"}, home.settings)
    plain = sign_again({**read(exported), name: b"x"}, home.settings)
    for number, one in enumerate((members, plain)):
        write(tmp_path / f"{number}.zip", one)
    with pytest.raises(IntegrityError, match="the archive"):
        check_export(tmp_path / "1.zip")
    if name != "C:/out":
        with pytest.raises(IntegrityError, match="the archive"):
            check_export(tmp_path / "0.zip")
    assert not (tmp_path / "out.txt").exists()


def test_links_bombs_and_repeats_are_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = read(exported)
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    write(tmp_path / "link.zip", {**members, "link": b"/etc/passwd"}, {"link": link})
    with pytest.raises(IntegrityError, match="link"):
        check_export(tmp_path / "link.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
            for name in ("manifest.json", "manifest.json"):
                archive.writestr(name, members["manifest.json"])
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        check_export(tmp_path / "twice.zip")
    packed = zipfile.ZipInfo("bomb")
    packed.compress_type = zipfile.ZIP_LZMA
    write(tmp_path / "lzma.zip", {**members, "bomb": bytes(1_000)}, {"bomb": packed})
    with pytest.raises(IntegrityError, match="compression"):
        check_export(tmp_path / "lzma.zip")
    monkeypatch.setattr(_archive, "MAX_BYTES", 10_000_000)
    packed.compress_type = zipfile.ZIP_DEFLATED
    write(tmp_path / "bomb.zip", {"bomb": bytes(20_000_000)}, {"bomb": packed})
    with pytest.raises(IntegrityError, match="unpacked"):
        check_export(tmp_path / "bomb.zip")


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"no archive at all" * 10, b"\x00" * 100, b"PK\x05\x06" + bytes(18)]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(IntegrityError):
        check_export(tmp_path / "x.zip")
    with pytest.raises(StoreError):
        check_export(tmp_path / "none.zip")


def test_a_cut_archive_is_refused(exported: Path, tmp_path: Path) -> None:
    data = exported.read_bytes()
    for length in (len(data) // 2, len(data) - 1, len(data) - 30):
        (tmp_path / "cut.zip").write_bytes(data[:length])
        with pytest.raises(IntegrityError):
            check_export(tmp_path / "cut.zip")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None


def test_nothing_is_written_where_it_cannot_be(
    workspace: Workspace, home: RecordedHome, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError):
        export_record("models:/nosuch/1", tmp_path / "x.zip", workspace, by="Dr. Eve")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError):
        export_record(home.first.model_uri, tmp_path / "file" / "x", workspace, by="Dr. Eve")
    assert not list(tmp_path.glob("*.zip"))
