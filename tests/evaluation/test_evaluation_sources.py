"""Predictions on file are of the code that made them, but for those that take hours."""

import pytest

from sgps.evaluation import sources
from sgps.evaluation.sources import BASELINE_SOURCES, SYNTHESIS_SOURCES, source_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two folders in the place of sgps."""
    for file in ("a/b.py", "a/c.py", "a/d.txt", "e/f.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(file)
    monkeypatch.setattr(sources, "_package", lambda: tmp_path)
    source_digest.cache_clear()
    yield tmp_path
    source_digest.cache_clear()


def changed(path, package) -> set[str]:
    """Whose digests follow the content of a file."""
    asked = {"a": ("a",), "a/b.py": ("a/b.py",), "both": ("a", "e/f.py")}
    before = {name: source_digest(*paths) for name, paths in asked.items()}
    (package / path).write_text("other")
    source_digest.cache_clear()
    return {name for name, paths in asked.items() if source_digest(*paths) != before[name]}


@pytest.mark.parametrize(
    ("path", "followers"),
    [
        ("a/b.py", {"a", "a/b.py", "both"}),
        ("a/c.py", {"a", "both"}),
        ("e/f.py", {"both"}),
        ("a/d.txt", set()),
        ("a/new.py", {"a", "both"}),
    ],
)
def test_a_digest_follows_its_modules(package, path, followers):
    assert changed(path, package) == followers


def test_the_order_in_which_modules_are_named_changes_nothing(package):
    assert source_digest("a", "e/f.py") == source_digest("e/f.py", "a")
    with pytest.raises(FileNotFoundError):
        source_digest("a/nosuch.py")


def test_the_modules_of_the_house_are_there():
    assert len({source_digest(*SYNTHESIS_SOURCES), source_digest(*BASELINE_SOURCES)}) == 2
