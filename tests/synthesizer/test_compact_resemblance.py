"""The compact form of a classifier beside known classes: what is kept, what is made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sgps.errors import IntegrityError
from sgps.synthesizer import SynthesizedClassifier, Synthesizer
from sgps.synthesizer.compact import CompactClassifier
from sgps.synthesizer.sealed import write_sealed

from .conftest import MakeTask
from .same_classifiers import assert_the_same

SHAPES = (1, 2, 1)


@pytest.fixture
def classifier(knowing: Synthesizer, make_task: MakeTask) -> SynthesizedClassifier:
    return knowing.synthesize(make_task(SHAPES))


def test_the_compact_form_gives_it_bit_for_bit(
    classifier: SynthesizedClassifier, knowing: Synthesizer, tmp_path: Path
) -> None:
    """What it has of known classes is made again from what the generator knows."""
    compact = CompactClassifier.of(classifier, knowing)
    compact.save(tmp_path)
    kept = [name for name in compact.tensors if name.startswith("resemblance.")]
    assert kept == ["resemblance.own"]
    assert "known_classes" not in compact.description
    expanded = CompactClassifier.load(tmp_path).expand(knowing)
    assert_the_same(expanded, classifier)


def test_the_compact_form_needs_the_classes_that_its_generator_knew(
    classifier: SynthesizedClassifier,
    knowing: Synthesizer,
    others: Synthesizer,
    ignorant: Synthesizer,
) -> None:
    compact = CompactClassifier.of(classifier, knowing)
    for maker, found in ((ignorant, "knows no classes"), (others, "knows other classes")):
        for exact in (True, False):
            with pytest.raises(IntegrityError, match=f"'knowing' {found}.* restore known_classes"):
                compact.expand(maker, exact=exact)


def test_a_compact_form_made_beside_other_known_classes_holds_every_direction(
    classifier: SynthesizedClassifier,
    knowing: Synthesizer,
    others: Synthesizer,
    ignorant: Synthesizer,
) -> None:
    for maker in (others, ignorant):
        compact = CompactClassifier.of(classifier, maker)
        assert {"resemblance.known", "resemblance.projection"} < set(compact.tensors)
        for expander in (knowing, others, ignorant):
            assert_the_same(compact.expand(expander), classifier)


def test_other_directions_under_the_same_digest_are_refused(
    classifier: SynthesizedClassifier, knowing: Synthesizer
) -> None:
    assert classifier.resemblance is not None
    compact = CompactClassifier.of(classifier, knowing)
    own_ND = compact.tensors["resemblance.own"].clone()
    own_ND[0, 0] += 0.5
    forged = replace(compact, tensors={**compact.tensors, "resemblance.own": own_ND})
    with pytest.raises(IntegrityError, match="other weights here"):
        forged.expand(knowing)


def test_a_compact_form_of_the_first_format_is_read(
    classifier: SynthesizedClassifier, knowing: Synthesizer, ignorant: Synthesizer, tmp_path: Path
) -> None:
    compact = CompactClassifier.of(classifier, ignorant)
    facts = {name: fact for name, fact in compact.description.items() if name != "beside_sha256"}
    write_sealed(tmp_path, "compact", compact.tensors, facts, file_format="sgps-compact-1")
    assert_the_same(CompactClassifier.load(tmp_path).expand(knowing), classifier)
