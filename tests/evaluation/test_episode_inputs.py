import numpy as np
import pytest
from colour_benchmark import COLOURS, ask, write_manifest

from sgps.evaluation import load_benchmark_data
from sgps.evaluation.benchmark import draw_episodes
from sgps.evaluation.corruptions import CORRUPTIONS
from sgps.evaluation.episode_inputs import NOTE_CHARACTERS, EpisodeMaker, add_notes, draw_absent


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("colours"))


def make(settings, texts=None):
    data = load_benchmark_data(settings)
    maker = EpisodeMaker(settings, data, texts or {})
    episodes = draw_episodes(settings, data)
    return data, episodes, [maker.make(episode, number) for number, episode in enumerate(episodes)]


def test_queries_and_their_classes(manifest):
    data, episodes, made = make(ask(manifest))
    for episode, (inputs, truth) in zip(episodes, made, strict=True):
        np.testing.assert_array_equal(inputs.query_rows, truth.rows_Q)
        labels = data.frame["label"].to_numpy()[truth.rows_Q]
        assert [episode.classes[label] for label in truth.labels_Q] == labels.tolist()
        assert inputs.query_pool is None
        assert (truth.absent, truth.corruptions) == (0, ())


@pytest.mark.parametrize("absent_role", ["", "meta_val"])
def test_absent_images_show_one_class_outside_the_task(manifest, absent_role):
    data, episodes, made = make(ask(manifest, n_way=2, absent_role=absent_role, episodes=20))
    frame = data.frame if data.absent is None else data.absent
    first = 0 if data.absent is None else len(data.frame)
    labels = set()
    for episode, (inputs, truth) in zip(episodes, made, strict=True):
        absent = inputs.query_rows[len(truth.rows_Q) :] - first
        assert len(absent) == truth.absent == 3
        assert frame["label"].iloc[absent].nunique() == 1
        assert frame["group"].iloc[absent].nunique() == 3
        labels.add(frame["label"].iloc[absent[0]])
        assert frame["label"].iloc[absent[0]] not in episode.classes
    assert labels == ({"grey", "white"} if absent_role else set(COLOURS))


def test_absent_images_share_no_group_with_the_task(tmp_path):
    manifest = write_manifest(tmp_path)
    text = manifest.read_text()
    for number in range(8):
        text = text.replace(f",blue-{number},", f",red-{number},")
    manifest.write_text(text)
    settings = ask(manifest, n_way=2, k_shot=1, episodes=30)
    data = load_benchmark_data(settings)
    for episode in draw_episodes(settings, data):
        rows = [row for side in (episode.support, episode.query) for group in side for row in group]
        absent = draw_absent(episode, data, 10)
        used = set(data.frame["group"].iloc[rows])
        assert len(absent) == (8 if set(episode.classes) == {"red", "blue"} else 4)
        assert not used & set(data.frame["group"].iloc[absent])


def test_absent_images_do_not_depend_on_the_order_of_the_rows(manifest, tmp_path):
    settings = ask(manifest, n_way=2)
    lines = manifest.read_text().splitlines()
    moved = tmp_path / "moved.csv"
    rows = [f"{manifest.parent}/{line}" for line in reversed(lines[1:])]
    moved.write_text("\n".join([lines[0], *rows]))
    drawn = []
    for path in (manifest, moved):
        data, episodes, _ = make(ask(path, n_way=2, dataset=settings.dataset))
        groups = data.frame["group"].to_numpy()
        drawn.append([groups[draw_absent(episode, data, 3)].tolist() for episode in episodes])
    assert drawn[0] == drawn[1]


def test_corrupted_copies_follow_on_the_first_episodes(manifest):
    data, _, made = make(ask(manifest, n_way=2, corruption_episodes=3))
    size = len(data.images)
    for number, (inputs, truth) in enumerate(made):
        assert len(inputs.query_rows) == truth.count
        if number >= 3:
            assert inputs.query_pool is None
            continue
        assert truth.corruptions == tuple(CORRUPTIONS)
        clean = len(truth.rows_Q) + truth.absent
        np.testing.assert_array_equal(
            inputs.query_images[:clean], data.images[inputs.query_rows[:clean]]
        )
        copies = inputs.query_rows[clean:].reshape(len(CORRUPTIONS), -1)
        for place, (corrupt, rows) in enumerate(zip(CORRUPTIONS.values(), copies, strict=True)):
            np.testing.assert_array_equal(rows, truth.rows_Q + (place + 1) * size)
            np.testing.assert_array_equal(
                inputs.query_pool[rows[0]], corrupt(data.images[truth.rows_Q[0]])
            )


def test_notes_are_those_of_the_support_images(manifest):
    texts = {"red": "the colour of blood"}
    data, episodes, made = make(ask(manifest, notes=True, k_shot=3), texts)
    notes = data.frame["text"].to_numpy()
    for episode, (inputs, truth) in zip(episodes, made, strict=True):
        asked = {notes[row] for row in truth.rows_Q} - {""}
        for label, rows, text in zip(
            episode.classes, episode.support, inputs.descriptions, strict=True
        ):
            shown = [notes[row] for row in rows if notes[row]]
            assert text == " ".join([texts[label], *shown] if label in texts else shown)
            assert not any(f"{note} " in f"{text} " for note in asked)
    plain = make(ask(manifest, k_shot=3), texts)[2]
    assert {text for inputs, _ in plain for text in inputs.descriptions} == {texts["red"], ""}


def test_notes_are_stripped_cut_and_not_repeated():
    long = "word " * 100
    text = add_notes("A class.", ["  fever\nand cough ", "fever and cough", "", long])
    assert text.startswith("A class. fever and cough word word")
    assert len(text) <= len("A class. fever and cough ") + NOTE_CHARACTERS
    assert text.endswith(" word")
    assert add_notes("", ["x" * 500]) == "x" * NOTE_CHARACTERS
    assert add_notes("", []) == ""
