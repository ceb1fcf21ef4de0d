import sqlite3

import numpy as np
import pytest
from colour_benchmark import Chance
from hypothesis import given
from hypothesis import strategies as st

from sgps.errors import IntegrityError, StoreError
from sgps.evaluation import EpisodeCache, EpisodeInputs, Prediction
from sgps.evaluation import episode_cache as caching

POOL = np.random.default_rng(0).integers(0, 256, (8, 3, 4, 4), dtype=np.uint8)


def draw_prediction(seed: int = 0, **changes) -> Prediction:
    rng = np.random.default_rng(seed)
    probs_QN = rng.dirichlet(np.ones(3), 5)
    values = {"familiarity_Q": rng.normal(size=5), "seconds": 0.25, "query_seconds": 0.5} | changes
    return caching.as_stored(Prediction(probs_QN, **values))


def assert_same(one: Prediction, other: Prediction) -> None:
    np.testing.assert_array_equal(one.probs_QN, other.probs_QN)
    assert one.seconds == other.seconds
    np.testing.assert_equal(one.query_seconds, other.query_seconds)
    if one.familiarity_Q is None:
        assert other.familiarity_Q is None
    else:
        np.testing.assert_array_equal(one.familiarity_Q, other.familiarity_Q)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "caches" / "episodes.sqlite"


@pytest.mark.parametrize("changes", [{}, {"familiarity_Q": None}, {"query_seconds": float("nan")}])
def test_what_was_put_is_found_again(path, changes):
    prediction = draw_prediction(**changes)
    with EpisodeCache(path) as cache:
        assert cache.get(b"a") is None
        cache.put(b"a", prediction)
        assert_same(cache.get(b"a"), prediction)
    with EpisodeCache(path) as cache:
        assert_same(cache.get(b"a"), prediction)
        assert cache.get(b"b") is None
        assert (cache.found, cache.added) == (1, 0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@given(st.integers(0, 10_000))
def test_storing_changes_no_ranking_and_little_else(seed):
    probs_QN = np.random.default_rng(seed).dirichlet(np.ones(4), 20)
    stored = caching.as_stored(Prediction(probs_QN, 0.1))
    np.testing.assert_array_equal(stored.probs_QN.argmax(1), probs_QN.argmax(1))
    np.testing.assert_allclose(stored.probs_QN, probs_QN, atol=1e-7)
    assert_same(caching.as_stored(stored), stored)


def test_many_predictions_are_written_before_the_end(path, monkeypatch):
    monkeypatch.setattr(caching, "_PENDING_AT_MOST", 3)
    cache = EpisodeCache(path)
    for number in range(7):
        cache.put(bytes([number]), draw_prediction(number))
    with EpisodeCache(path) as other:
        kept = [other.get(bytes([number])) is not None for number in range(7)]
    assert kept == [True] * 6 + [False]
    cache.close()


def test_two_at_once_share_a_file(path):
    with EpisodeCache(path) as one, EpisodeCache(path) as other:
        one.put(b"a", draw_prediction(1))
        one.flush()
        assert_same(other.get(b"a"), draw_prediction(1))
        other.put(b"a", draw_prediction(2))
    with EpisodeCache(path) as cache:
        assert_same(cache.get(b"a"), draw_prediction(2))


def test_a_foreign_file_is_refused_and_left_alone(path):
    path.parent.mkdir()
    path.write_text("a diary " * 500)
    with pytest.raises(IntegrityError, match="not an episode cache"):
        EpisodeCache(path)
    assert path.read_text() == "a diary " * 500


def test_another_database_is_refused_and_left_alone(path):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE diary (day TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(IntegrityError, match="not an episode cache of this version"):
        EpisodeCache(path)
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be used"):
        EpisodeCache(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        EpisodeCache(tmp_path / "file" / "cache.sqlite")


def test_a_changed_value_is_found_out(path):
    with EpisodeCache(path) as cache:
        cache.put(b"a", draw_prediction())
    connection = sqlite3.connect(path)
    connection.execute("UPDATE predictions SET seconds = 0.01")
    connection.commit()
    connection.close()
    with (
        EpisodeCache(path) as cache,
        pytest.raises(IntegrityError, match=r"checksum.*delete it or choose another path"),
    ):
        cache.get(b"a")


def test_a_damaged_file_is_found_out(path):
    with EpisodeCache(path) as cache:
        for number in range(300):
            cache.put(number.to_bytes(2), draw_prediction(number))
    content = bytearray(path.read_bytes())
    content[4096:-4096] = b"\xaa" * (len(content) - 8192)
    path.write_bytes(content)
    with EpisodeCache(path) as cache, pytest.raises(IntegrityError, match="damaged"):
        [cache.get(number.to_bytes(2)) for number in range(300)]


class TestKeys:
    def key(self, method=None, **changes) -> bytes:
        values = {
            "class_names": ("a", "b"),
            "descriptions": ("red", ""),
            "pool": POOL,
            "support_rows": (np.array([0]), np.array([1, 2])),
            "query_rows": np.array([3, 4]),
        } | changes
        episode = EpisodeInputs(**values)
        pools = caching.PoolDigests(episode.pool), caching.PoolDigests(episode.queries_from)
        inputs = caching.inputs_digest(episode, *pools)
        return caching.prediction_key(caching.method_digest(method or Chance()), inputs)

    def test_the_same_images_in_other_rows_have_the_same_key(self):
        turned = {
            "pool": POOL[::-1],
            "support_rows": (np.array([7]), np.array([6, 5])),
            "query_rows": np.array([4, 3]),
        }
        assert self.key(**turned) == self.key()
        assert self.key(query_pool=POOL.copy()) == self.key()

    @pytest.mark.parametrize(
        "changes",
        [
            {"class_names": ("a", "c")},
            {"descriptions": ("red", "green")},
            {"support_rows": (np.array([0]), np.array([2, 1]))},
            {"support_rows": (np.array([0, 1]), np.array([2]))},
            {"query_rows": np.array([3])},
            {"query_pool": 255 - POOL},
            {"pool": POOL.reshape(8, 3, 2, 8)},
            {"method": Chance(strength=1)},
        ],
    )
    def test_anything_else_has_another_key(self, changes):
        assert self.key(**changes) != self.key()
