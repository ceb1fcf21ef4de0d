import csv
import json

import numpy as np
import pytest
from PIL import Image

from sgps.errors import InputError, StoreError
from sgps.evaluation import (
    BenchmarkSettings,
    FeatureBank,
    Prediction,
    SynthesizerMethod,
    load_benchmark_data,
    public_baselines,
    run_benchmark,
)
from sgps.evaluation.benchmark import draw_episodes
from sgps.evaluation.intervals import mean_interval, paired_difference
from sgps.evaluation.plots import plot_accuracy, plot_reliability

METRICS = {"accuracy", "balanced_accuracy", "auroc", "brier", "ece", "seconds_per_synthesis"}


class ColourEncoder:
    name, version, width = "colour", "1", 3

    def encode(self, images):
        return images.float().mean((2, 3))


class ColourClassifier:
    """Knows that class c is bright in channel c, and is sure of it."""

    def __init__(self, channels) -> None:
        self.channels = channels

    def predict_proba(self, images):
        colours = np.stack([image.mean((0, 1)) for image in images])[:, self.channels]
        scores = np.exp((colours - colours.max(1, keepdims=True)) / 10)
        return (scores / scores.sum(1, keepdims=True)).astype(np.float32)


class ColourSynthesizer:
    """Stands in for a synthesizer: reads the bright channel of each class's support."""

    generator_name, generator_sha256 = "colours", "0" * 64
    architecture, resolution = "none", 32

    def __init__(self) -> None:
        self.tasks = []

    def synthesize(self, task):
        self.tasks.append(task)
        means = [np.mean([image.mean((0, 1)) for image in c.images], 0) for c in task.classes]
        return ColourClassifier([int(mean.argmax()) for mean in means])


class Chance:
    name = "chance"

    def details(self):
        return {}

    def predict(self, episode):
        shape = (len(episode.query_rows), episode.n_way)
        return Prediction(np.full(shape, 1 / episode.n_way), 0.001)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Three classes of flat images, two images a group, and one role that must not be read."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    rows = []
    for channel, label in enumerate(["red", "green", "blue"]):
        for number in range(16):
            colour = rng.integers(90, 150, 3)
            colour[channel] += 30
            pixels = np.broadcast_to(colour, (40, 48, 3)).astype(np.uint8)
            file = f"{label}-{number}.png"
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / file)
            rows.append((file, label, f"{label}-{number // 2}", "novel_test", ""))
    rows.append(("absent.png", "grey", "grey", "meta_train", ""))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "group", "role", "text"])
        writer.writerows(rows)
    return folder / "manifest.csv"


def ask(manifest, **changes) -> BenchmarkSettings:
    numbers = {"n_way": 3, "k_shot": 2, "n_query": 3, "episodes": 8, "resolution": 32} | changes
    return BenchmarkSettings(manifest=manifest, **{"role": "novel_test", **numbers})


@pytest.fixture(scope="module")
def report(manifest):
    methods = [
        SynthesizerMethod(ColourSynthesizer()),
        *public_baselines(FeatureBank(ColourEncoder())),
        Chance(),
    ]
    return run_benchmark(ask(manifest), methods, command="sgps benchmark ...")


def test_report_has_the_agreed_form(report):
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(content) == {"settings", "methods", "paired"}
    assert {"sgps", "nearest_centroid"} <= set(content["methods"])
    for figures in content["methods"].values():
        assert set(figures) == METRICS | {"recall:red", "recall:green", "recall:blue"}
        for interval in figures.values():
            assert set(interval) == {"mean", "low", "high"}
            assert interval["low"] <= interval["mean"] <= interval["high"]
    assert set(content["paired"]) == set(content["methods"]) - {"sgps"}
    for paired in content["paired"].values():
        assert set(paired) == {"difference", "low", "high"}


def test_figures_are_those_of_the_episodes(report):
    own = report.scores["sgps"].by_episode["accuracy"]
    chance = report.scores["chance"].by_episode["accuracy"]
    figures = report.to_dict()
    assert tuple(figures["methods"]["sgps"]["accuracy"].values()) == mean_interval(own)
    assert tuple(figures["paired"]["chance"].values()) == paired_difference(own, chance)
    assert figures["methods"]["chance"]["accuracy"]["mean"] == pytest.approx(1 / 3)
    assert figures["methods"]["chance"]["ece"]["mean"] == pytest.approx(0, abs=1e-12)
    assert figures["methods"]["sgps"]["accuracy"]["mean"] > 0.7


def test_settings_say_how_to_run_it_again(report, manifest):
    settings = report.to_dict()["settings"]
    assert settings["command"] == "sgps benchmark ..."
    assert settings["dataset"] == manifest.parent.name
    assert settings["images"] == 48
    assert settings["classes"] == {"red": 16, "green": 16, "blue": 16}
    assert settings["generator"] == "colours"
    assert settings["generator_sha256"] == "0" * 64
    assert len(settings["data_digest"]) == len(settings["episodes_digest"]) == 64
    assert {"python", "torch", "numpy"} <= set(settings["versions"])


def test_the_same_seed_gives_the_same_figures(report, manifest):
    again = run_benchmark(
        ask(manifest), [Chance(), *public_baselines(FeatureBank(ColourEncoder()))]
    )
    assert again.settings["episodes_digest"] == report.settings["episodes_digest"]
    assert again.settings["data_digest"] == report.settings["data_digest"]
    for name, scores in again.scores.items():
        np.testing.assert_array_equal(
            scores.by_episode["accuracy"], report.scores[name].by_episode["accuracy"]
        )
    assert again.paired() == {}
    other = run_benchmark(ask(manifest, seed=1), [Chance()])
    assert other.settings["episodes_digest"] != report.settings["episodes_digest"]


def test_support_and_query_never_share_a_group(manifest):
    settings = ask(manifest, k_shot=5, episodes=30)
    data = load_benchmark_data(settings)
    for episode in draw_episodes(settings, data):
        shown = set(data.frame["group"].iloc[[row for rows in episode.support for row in rows]])
        asked = set(data.frame["group"].iloc[[row for rows in episode.query for row in rows]])
        assert not shown & asked


def test_images_are_those_of_the_role_at_the_resolution(manifest):
    stages = []
    data = load_benchmark_data(ask(manifest), lambda *call: stages.append(call))
    assert data.images.shape == (48, 3, 32, 32)
    assert stages[0] == ("images", 1, 48)
    assert stages[-1] == ("images", 48, 48)
    for row, file in enumerate(data.frame["file"]):
        original = np.asarray(Image.open(manifest.parent / file))[0, 0]
        np.testing.assert_array_equal(data.images[row, :, 5, 5], original)


def test_digest_follows_the_pixels_and_not_the_order_or_the_place(manifest, tmp_path):
    data = load_benchmark_data(ask(manifest))
    lines = manifest.read_text().splitlines()
    moved = tmp_path / "moved.csv"
    rows = [f"{manifest.parent}/{line}" for line in reversed(lines[1:-1])]
    moved.write_text("\n".join([lines[0], *rows]))
    assert load_benchmark_data(ask(moved)).digest == data.digest
    Image.new("RGB", (40, 48)).save(tmp_path / "other.png")
    moved.write_text("\n".join([lines[0], f"{tmp_path}/other.png,red,red-99,novel_test,", *rows]))
    assert load_benchmark_data(ask(moved)).digest != data.digest


def test_loaded_data_serve_several_settings(manifest):
    data = load_benchmark_data(ask(manifest))
    calls = []
    report = run_benchmark(
        ask(manifest, k_shot=1), [Chance()], data=data, progress=lambda *call: calls.append(call)
    )
    assert report.settings["k_shot"] == 1
    assert calls[-1] == ("episodes", 8, 8)
    assert {stage for stage, *_ in calls} == {"episodes"}


def test_methods_get_the_descriptions_of_the_classes(manifest, tmp_path):
    (tmp_path / "colours.yaml").write_text(
        "dataset: colours\nmodality: paint\n"
        "classes: {red: {text: the colour of blood, source: common knowledge}}\n"
    )
    synthesizer = ColourSynthesizer()
    settings = ask(manifest, dataset="colours", descriptions=tmp_path)
    report = run_benchmark(settings, [SynthesizerMethod(synthesizer)])
    for task in synthesizer.tasks:
        described = {support.name: support.description for support in task.classes}
        assert described == {"red": "the colour of blood", "green": "", "blue": ""}
    assert report.settings["described_classes"] == ["red"]


def test_wrong_answers_of_a_method_are_not_scored(manifest):
    class Odd(Chance):
        def predict(self, episode):
            return Prediction(np.ones((2, 2)), 0.0)

    with pytest.raises(ValueError, match="no probabilities of shape"):
        run_benchmark(ask(manifest), [Odd()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "novel_val"}, "no rows with role 'novel_val'; expected one of .*novel_test"),
        ({"n_way": 4}, "3 classes, too few for n_way 4"),
        ({"k_shot": 8}, "k_shot 8 needs 9 groups a class in 3 classes.* has 8"),
    ],
)
def test_impossible_settings_are_refused_with_both_numbers(manifest, changes, message):
    with pytest.raises(InputError, match=message):
        run_benchmark(ask(manifest, **changes), [Chance()])


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_way", 1), ("k_shot", 0), ("n_query", 0), ("episodes", 1), ("seed", -1), ("resolution", 8)],
)
def test_numbers_out_of_range_are_refused(manifest, name, value):
    with pytest.raises(InputError, match=f"{name} is {value}; expected"):
        ask(manifest, **{name: value})


def test_saved_report_is_its_dictionary(report, tmp_path):
    report.save(tmp_path / "reports" / "report.json")
    assert json.loads((tmp_path / "reports" / "report.json").read_text()) == report.to_dict()
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["report.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        report.save(tmp_path / "file" / "report.json")


def test_table_names_every_method(report):
    text = report.to_text()
    assert all(name in text for name in report.scores)
    assert "3-way 2-shot, 8 episodes" in text
    assert "±" in text


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("plot", [plot_accuracy, plot_reliability])
def test_pictures_are_drawn_and_the_same_each_time(report, tmp_path, plot, suffix):
    first, second = tmp_path / f"first{suffix}", tmp_path / "sub" / f"second{suffix}"
    plot(report, first)
    plot(report, second)
    assert first.stat().st_size > 5000
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".png":
        with Image.open(first) as image:
            assert image.size[0] > 600


def test_pictures_of_other_types_are_refused(report, tmp_path):
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        plot_accuracy(report, tmp_path / "accuracy.bmp")
