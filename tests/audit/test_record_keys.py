"""Keys behind the digests, and what a sealed record still tells."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgps.audit import Ledger, canonical_json, seal_digest, seal_record
from sgps.errors import InputError

KEYS = st.binary(min_size=32, max_size=32)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
FILE_NAMES = st.text("abcdefghij", min_size=8, max_size=12).map(lambda stem: f"{stem}.png")
IMAGES = st.fixed_dictionaries(
    {
        "name": FILE_NAMES,
        "format": st.sampled_from(["PNG", "JPEG"]),
        "removed": st.lists(st.sampled_from(["EXIF", "ICC"])),
        "file_sha256": DIGESTS,
        "pixel_sha256": DIGESTS,
        "artifact": FILE_NAMES.map(lambda name: f"support/{name}"),
        "checks": st.fixed_dictionaries({"sharp": st.booleans(), "crop_sha256": DIGESTS}),
    }
)
CLASSES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["naevus", "melanoma"]),
        "description_sha256": DIGESTS,
        "images": st.lists(IMAGES, max_size=3),
    }
)
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(["x", "y"])
DETAILS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner)
        | st.fixed_dictionaries({"sha256": DIGESTS, "parts_sha256": st.lists(DIGESTS), "c": inner})
    ),
    max_leaves=8,
)
AUDITS = st.fixed_dictionaries(
    {
        "request_id": st.just("r"),
        "inputs": st.fixed_dictionaries(
            {"request_sha256": DIGESTS, "classes": st.lists(CLASSES, max_size=3)}
        ),
        "outputs": st.fixed_dictionaries(
            {
                "weights_sha256": DIGESTS,
                "description_sha256": st.none() | DIGESTS,
                "details": DETAILS,
            }
        ),
        "generator": st.fixed_dictionaries({"sha256": DIGESTS}),
    }
)


def all_keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from all_keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from all_keys(item)


def all_digests(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from all_digests(item)
    elif isinstance(value, list):
        for item in value:
            yield from all_digests(item)
    elif isinstance(value, str) and len(value) == 64:
        yield value


def names_of_images(audit: dict[str, Any]) -> set[str]:
    return {
        name
        for item in audit["inputs"]["classes"]
        for image in item["images"]
        for name in (image["name"], image["artifact"])
    }


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(list(value))}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=60)
@given(audit=AUDITS, key=KEYS)
def test_no_digest_and_no_name_of_an_image_is_left(audit: dict[str, Any], key: bytes) -> None:
    first = next((name for name in names_of_images(audit) if "/" not in name), "none")
    audit["warnings"] = [f"class 'a': {first} and other.png: {first}."]
    sealed = seal_record(audit, key)
    assert sealed["sealed"] is True
    sections = {name: sealed[name] for name in ("inputs", "outputs")}
    assert not [name for name in all_keys(sections) if name.endswith("sha256")]
    before = {name: audit[name] for name in sections}
    assert not set(all_digests(before)) & set(all_digests(sections))
    text = canonical_json(sealed)
    assert not [name for name in names_of_images(audit) if name in text]
    assert sealed["generator"] == audit["generator"]
    assert len(list(all_digests(sections))) == len(list(all_digests(before)))


@settings(deadline=None, max_examples=60)
@given(audit=AUDITS, key=KEYS)
def test_sealing_is_deterministic_whatever_the_order_of_keys(
    audit: dict[str, Any], key: bytes
) -> None:
    sealed = canonical_json(seal_record(audit, key))
    assert sealed == canonical_json(seal_record(audit, key))
    assert sealed == canonical_json(seal_record(reordered(audit), key))
    assert sealed == canonical_json(seal_record(json.loads(canonical_json(audit)), key))


@settings(deadline=None, max_examples=60)
@given(audit=AUDITS, key=KEYS)
def test_sealing_leaves_its_input_alone(audit: dict[str, Any], key: bytes) -> None:
    before = canonical_json(audit)
    seal_record(audit, key)
    assert canonical_json(audit) == before


@settings(deadline=None, max_examples=60)
@given(digest=DIGESTS, key=KEYS, other=KEYS)
def test_a_seal_is_the_hmac_and_tells_keys_apart(digest: str, key: bytes, other: bytes) -> None:
    assert seal_digest(key, digest) == hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()
    assert (seal_digest(key, digest) == seal_digest(other, digest)) == (key == other)
    assert seal_digest(key, digest) != digest


def test_a_record_of_odd_shape_is_sealed_all_the_same() -> None:
    audit = {"outputs": {"images": 3, "a_sha256": None, "b_sha256": {"y": "1", "x": "2"}}}
    sealed = seal_record(audit, b"k" * 32)
    assert sealed["outputs"]["images"] == 3
    assert sealed["outputs"]["a_hmac"] is None
    assert set(sealed["outputs"]["b_hmac"]) == {"x", "y"}
    assert "inputs" not in sealed


def test_a_file_named_in_a_sentence_is_told_by_its_number() -> None:
    images = [{"name": "Anna Muster.png"}, {"name": "a.png"}, {"name": "Muster.png"}]
    audit = {
        "inputs": {"classes": [{"name": "c", "images": images}]},
        "warnings": [
            "class 'c': Anna Muster.png shows the same as Muster.png. Not ba.png",
            "a.png",
        ],
    }
    assert seal_record(audit, b"k" * 32)["warnings"] == [
        "class 'c': image 1 shows the same as image 3. Not ba.png",
        "image 2",
    ]


def test_a_key_is_made_once_and_erased_for_good(ledger: Ledger) -> None:
    keys = ledger.record_keys
    assert keys.get("one") is None
    key = keys.create("one")
    assert len(key) == 32
    assert keys.create("one") == key == keys.get("one")
    assert keys.create("two") != key
    assert keys.erase("one")
    assert keys.get("one") is None
    assert not keys.erase("one")
    assert keys.get("two") is not None


def test_threads_make_one_key(ledger: Ledger) -> None:
    with ThreadPoolExecutor(12) as pool:
        made = set(pool.map(lambda _: ledger.record_keys.create("one"), range(24)))
    assert len(made) == 1


@pytest.mark.parametrize("record_id", ["", "x" * 65, "a\x00"])
def test_an_id_that_cannot_be_stored_is_refused(ledger: Ledger, record_id: str) -> None:
    with pytest.raises(InputError):
        ledger.record_keys.create(record_id)


def test_an_erased_key_is_in_no_file_of_sqlite_any_more(tmp_path: Path) -> None:
    def stored() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))

    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        key = ledger.record_keys.create("one").hex().encode()
        ledger.append("s", "one", {}, terms={"image": "plain-digest-of-an-image"})
        assert key in stored()
        ledger.record_keys.erase("one")
        assert key not in stored()
        ledger.forget_terms(1, ["image"])
        assert b"plain-digest-of-an-image" not in stored()


def test_who_reads_holds_up_neither_an_erasure_nor_another_writer(tmp_path: Path) -> None:
    def stored() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))

    url = f"sqlite:///{tmp_path}/ledger.db"
    with (
        Ledger.open(url, busy_seconds=60.0) as ledger,
        Ledger.open(url, busy_seconds=1.0) as other,
        closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as reader,
    ):
        key = ledger.record_keys.create("one").hex().encode()
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM record_keys").fetchone() == (1,)
        started = time.monotonic()
        assert ledger.record_keys.erase("one")
        with ThreadPoolExecutor(1) as pool:
            emptied = pool.submit(ledger.forget_log, 0.5)
            while not emptied.done():
                other.append("s", "one", {})
        assert not emptied.result()
        assert time.monotonic() - started < 20
        assert key in stored()
        reader.execute("COMMIT")
        assert ledger.forget_log()
        assert key not in stored()


def test_a_log_that_nobody_uses_is_emptied(ledger: Ledger) -> None:
    assert ledger.forget_log(0.0)
