import json

import numpy as np
import pytest
from colour_benchmark import Chance, ColourCentroids, IterativeChance, ask, write_manifest

from sgps.errors import InputError, OperatorError
from sgps.evaluation import (
    EpisodeCache,
    MethodError,
    Prediction,
    SynthesizerMethod,
    TooFewClassesError,
    load_benchmark_data,
    run_benchmark,
)
from sgps.evaluation.benchmark import draw_episodes
from sgps.evaluation.intervals import mean_interval, paired_difference
from sgps.synthesizer.scoring import Assessment


class ColourClassifier:
    """Knows that class c is bright in channel c, and is sure of it."""

    def __init__(self, channels) -> None:
        self.channels = channels

    def assess(self, images):
        colours = np.stack([image.mean((0, 1)) for image in images])[:, self.channels]
        scores = np.exp((colours - colours.max(1, keepdims=True)) / 10)
        return Assessment((scores / scores.sum(1, keepdims=True)).astype(np.float32))


class ColourSynthesizer:
    """Stands in for a synthesizer: reads the bright channel of each class's support."""

    generator_name, generator_sha256 = "colours", "0" * 64
    known_classes = None
    architecture, resolution = "none", 32

    def synthesize(self, task):
        means = [np.mean([image.mean((0, 1)) for image in c.images], 0) for c in task.classes]
        return ColourClassifier([int(mean.argmax()) for mean in means])


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def report(manifest):
    methods = [ColourCentroids(constant=500), Chance(), IterativeChance()]
    settings = ask(manifest, iterative_episodes=3, absent_role="meta_val")
    return run_benchmark(settings, methods, command="sgps benchmark ...", commit="abc")


def test_figures_are_those_of_the_episodes(report):
    own = report.scores["sgps"].by_episode["accuracy"]
    chance = report.scores["chance"].by_episode["accuracy"]
    figures = report.to_dict()
    assert len(own) == len(chance) == 8
    assert tuple(figures["methods"]["sgps"]["accuracy"].values()) == mean_interval(own)
    paired = figures["paired"]["chance"]
    assert (paired["difference"], paired["low"], paired["high"]) == paired_difference(own, chance)
    assert figures["methods"]["chance"]["accuracy"]["mean"] == pytest.approx(1 / 3)
    assert figures["methods"]["chance"]["ece"]["mean"] == pytest.approx(0, abs=1e-7)
    assert figures["methods"]["sgps"]["accuracy"]["mean"] > 0.7


def test_settings_say_how_to_run_it_again(report, manifest):
    settings = report.to_dict()["settings"]
    assert settings["command"] == "sgps benchmark ..."
    assert settings["commit"] == "abc"
    assert settings["name"] == settings["dataset"] == manifest.parent.name
    assert settings["images"] == 48
    assert settings["classes"] == {"red": 16, "green": 16, "blue": 16}
    assert settings["drawn_classes"] == ["blue", "green", "red"]
    assert settings["methods"]["sgps"] == {"constant": 500}
    names = ("data_digest", "metadata_digest", "absent_digest", "episodes_digest")
    assert [len(settings[name]) for name in names] == [64] * 4
    assert {"python", "torch", "numpy", "scikit-learn", "easyfsl"} <= set(settings["versions"])


def test_iterative_methods_run_on_the_first_episodes_only(report):
    content = report.to_dict()
    assert content["episodes_of"] == {"sgps": 8, "chance": 8, "chance_iterative": 3}
    own = report.scores["sgps"].by_episode["accuracy"]
    few = report.scores["chance_iterative"].by_episode["accuracy"]
    paired = content["paired"]["chance_iterative"]
    assert paired["episodes"] == 3
    assert paired["difference"] == pytest.approx((own[:3] - few).mean())


def test_each_method_is_asked_once_an_episode_after_a_first_call(manifest):
    often, rarely = Chance(), IterativeChance()
    run_benchmark(ask(manifest, iterative_episodes=3), [often, rarely])
    assert len(often.asked) == 9
    assert len(rarely.asked) == 3
    assert all(episode.pool is often.asked[0].pool for episode in often.asked + rarely.asked)


def test_the_same_seed_gives_the_same_figures(report, manifest):
    again = run_benchmark(
        ask(manifest, absent_role="meta_val"), [Chance(), ColourCentroids(constant=500)]
    )
    assert again.settings["episodes_digest"] == report.settings["episodes_digest"]
    assert again.settings["data_digest"] == report.settings["data_digest"]
    for name, scores in again.scores.items():
        for metric, values in scores.by_episode.items():
            np.testing.assert_array_equal(values, report.scores[name].by_episode[metric])
    other = run_benchmark(ask(manifest, seed=1), [Chance()])
    assert other.paired() == {}
    assert other.settings["episodes_digest"] != report.settings["episodes_digest"]


def test_support_and_query_never_share_a_group(manifest):
    settings = ask(manifest, k_shot=5, episodes=30)
    data = load_benchmark_data(settings)
    for episode in draw_episodes(settings, data):
        shown = set(data.frame["group"].iloc[[row for rows in episode.support for row in rows]])
        asked = set(data.frame["group"].iloc[[row for rows in episode.query for row in rows]])
        assert not shown & asked


def test_classes_with_too_few_groups_are_left_out(tmp_path):
    manifest = write_manifest(tmp_path)
    text = manifest.read_text()
    for group in ("blue-4", "blue-5"):
        text = text.replace(f",{group},", ",blue-0,")
    manifest.write_text(text)
    settings = ask(manifest, n_way=2, k_shot=1, min_groups=7)
    report = run_benchmark(settings, [Chance()])
    assert report.settings["drawn_classes"] == ["green", "red"]
    with pytest.raises(TooFewClassesError, match=r"min_groups 7 needs 7 groups .* 'blue' has 6"):
        run_benchmark(ask(manifest, n_way=3, k_shot=1, min_groups=7), [Chance()])


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
    method = Chance()
    settings = ask(manifest, dataset="colours", descriptions=tmp_path)
    report = run_benchmark(settings, [method])
    for episode in method.asked:
        described = dict(zip(episode.class_names, episode.descriptions, strict=True))
        assert described == {"red": "the colour of blood", "green": "", "blue": ""}
    assert report.settings["described_classes"] == ["red"]


def test_a_synthesizer_is_judged_as_the_others_are(manifest):
    report = run_benchmark(ask(manifest), [SynthesizerMethod(ColourSynthesizer()), Chance()])
    assert report.settings["generator"] == "colours"
    assert report.settings["generator_sha256"] == "0" * 64
    assert report.paired()["chance"].low > 0


WRONG_ANSWERS = {
    "no probabilities of shape": Prediction(np.ones((2, 2)), 0.0),
    "no probabilities$": Prediction(np.full((9, 3), 0.5), 0.0),
    "no finite familiarity": Prediction(np.full((9, 3), 1 / 3), 0.0, 0.0, np.full(9, np.nan)),
    "no finite time": Prediction(np.full((9, 3), 1 / 3), float("nan")),
}


@pytest.mark.parametrize("message", WRONG_ANSWERS)
def test_wrong_answers_of_a_method_are_not_scored(manifest, message):
    class Odd(Chance):
        def predict(self, episode):
            return WRONG_ANSWERS[message]

    with pytest.raises(MethodError, match=message):
        run_benchmark(ask(manifest), [Odd()])


@pytest.mark.parametrize("error", [ZeroDivisionError("by nothing"), OperatorError("no weights")])
def test_a_failure_names_method_setting_and_episode(manifest, error):
    class Failing(Chance):
        name = "failing"

        def predict(self, episode):
            if len(self.asked) == 4:
                raise error
            return super().predict(episode)

    place = r"failing failed on episode 3 of ISIC-FS \(3-way 2-shot, seed 0\): "
    with pytest.raises(MethodError, match=f"{place}{type(error).__name__}: {error}") as caught:
        run_benchmark(ask(manifest, name="ISIC-FS"), [Chance(), Failing()])
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "novel_val"}, "no rows with role 'novel_val'; expected one of .*novel_test"),
        ({"absent_role": "novel_val"}, "no rows with role 'novel_val'"),
        ({"n_way": 4}, "3 classes, too few for n_way 4"),
        ({"first_episode": 7}, "first_episode is 7; expected 0 to 6"),
        ({"first_episode": -1}, "first_episode is -1; expected 0 to 6"),
        ({"k_shot": 8}, "k_shot 8 needs 9 groups a class in 3 classes.* has 8"),
    ],
)
def test_impossible_settings_are_refused_with_both_numbers(manifest, changes, message):
    with pytest.raises(InputError, match=message):
        run_benchmark(ask(manifest, **changes), [Chance()])


def test_corruptions_are_scored_on_the_first_episodes(tmp_path):
    manifest = write_manifest(tmp_path, noisy=True)
    method = ColourCentroids()
    plain = run_benchmark(ask(manifest), [ColourCentroids()])
    report = run_benchmark(ask(manifest, corruption_episodes=4), [method])
    values = report.scores["sgps"].by_episode
    for name in ("clean", "blur", "noise", "jpeg", "brightness"):
        assert np.isnan(values[f"accuracy:{name}"]).tolist() == [False] * 4 + [True] * 4
    np.testing.assert_array_equal(values["accuracy:clean"][:4], values["accuracy"][:4])
    assert values["accuracy:blur"][:4].mean() > values["accuracy:brightness"][:4].mean()
    for metric, expected in plain.scores["sgps"].by_episode.items():
        if not metric.startswith("seconds"):
            np.testing.assert_allclose(values[metric], expected)
    altered = [episode for episode in method.asked if episode.query_pool is not None]
    assert len(altered) == 5
    assert all(episode.query_pool is altered[0].query_pool for episode in altered)


class TestFirstEpisode:
    def test_the_rest_is_that_of_the_whole_run(self, tmp_path):
        manifest = write_manifest(tmp_path, noisy=True)
        whole, rest = (
            run_benchmark(
                ask(manifest, first_episode=first, iterative_episodes=5, corruption_episodes=4),
                [ColourCentroids(), IterativeChance()],
            )
            for first in (0, 3)
        )
        for name, scores in rest.scores.items():
            for metric, values in scores.by_episode.items():
                if not metric.startswith("seconds"):
                    np.testing.assert_array_equal(values, whole.scores[name].by_episode[metric][3:])
        assert len(np.unique(rest.scores["sgps"].by_episode["accuracy"])) > 1
        told = ("first_episode", "episodes", "iterative_episodes", "corruption_episodes")
        assert [rest.settings[name] for name in told] == [3, 5, 2, 1]
        assert [whole.settings[name] for name in told] == [0, 8, 5, 4]

    def test_iterative_methods_need_two_episodes(self, manifest):
        settings = ask(manifest, first_episode=2, iterative_episodes=3)
        message = "first_episode is 2, and .* runs on the first 3 episodes only; expected at most 1"
        with pytest.raises(InputError, match=message):
            run_benchmark(settings, [Chance(), IterativeChance()])
        assert run_benchmark(settings, [Chance()]).scores["chance"].episodes == 6


class TestCache:
    def test_cached_figures_are_those_of_a_fresh_run(self, manifest, tmp_path):
        settings = ask(manifest, absent_role="meta_val", corruption_episodes=2)
        fresh = run_benchmark(settings, [ColourCentroids(), Chance()]).to_dict()
        for expected_calls in ([9, 9], [0, 0]):
            methods = [ColourCentroids(), Chance()]
            with EpisodeCache(tmp_path / "cache.sqlite") as cache:
                cached = run_benchmark(settings, methods, cache=cache).to_dict()
            assert [len(method.asked) for method in methods] == expected_calls
            assert json.dumps(cached) == json.dumps(fresh)

    def test_an_interrupted_run_resumes_where_it_stopped(self, manifest, tmp_path):
        class Interrupted(Chance):
            def predict(self, episode):
                if len(self.asked) == 6:
                    raise KeyboardInterrupt
                return super().predict(episode)

        path = tmp_path / "cache.sqlite"
        with pytest.raises(KeyboardInterrupt), EpisodeCache(path) as cache:
            run_benchmark(ask(manifest), [Interrupted()], cache=cache)
        rest = Chance()
        with EpisodeCache(path) as cache:
            resumed = run_benchmark(ask(manifest), [rest], cache=cache)
            assert (cache.found, cache.added) == (5, 3)
        assert len(rest.asked) == 3 + 1
        assert resumed.scores["chance"].episodes == 8

    def test_more_episodes_need_only_the_further_ones(self, manifest, tmp_path):
        with EpisodeCache(tmp_path / "cache.sqlite") as cache:
            run_benchmark(ask(manifest, episodes=5), [Chance()], cache=cache)
            run_benchmark(ask(manifest, episodes=9), [Chance()], cache=cache)
            assert (cache.found, cache.added) == (5, 9)

    @pytest.mark.parametrize(
        "changes", [{"resolution": 33}, {"k_shot": 1}, {"seed": 1}, {"corruption_episodes": 8}]
    )
    def test_another_setting_is_computed_anew(self, manifest, tmp_path, changes):
        with EpisodeCache(tmp_path / "cache.sqlite") as cache:
            run_benchmark(ask(manifest), [Chance()], cache=cache)
            run_benchmark(ask(manifest, **changes), [Chance()], cache=cache)
            assert cache.found == 0

    def test_another_method_is_computed_anew(self, manifest, tmp_path):
        with EpisodeCache(tmp_path / "cache.sqlite") as cache:
            run_benchmark(ask(manifest), [Chance(strength=1)], cache=cache)
            run_benchmark(ask(manifest), [Chance(strength=2)], cache=cache)
            assert cache.found == 0
