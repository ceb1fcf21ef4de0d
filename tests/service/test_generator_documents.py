"""A version carries what its generator's release says of itself."""

from __future__ import annotations

from pathlib import Path

from sgps.service.generator_documents import DOCUMENTS, MAX_BYTES, read_documents


def test_the_shipped_generators_bring_card_benchmark_validation_and_bill() -> None:
    for name in ("default", "open"):
        assert set(read_documents(name)) == set(DOCUMENTS) - {"promotion.json"}


def test_only_known_files_of_a_fitting_size_are_read(tmp_path: Path) -> None:
    assert read_documents(str(tmp_path / "nosuch")) == {}
    (tmp_path / "generator.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("no")
    (tmp_path / "README.md").write_text("card")
    (tmp_path / "benchmark.md").write_bytes(b"x" * (MAX_BYTES + 1))
    assert read_documents(str(tmp_path)) == {"README.md": b"card"}
