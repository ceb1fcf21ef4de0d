"""Which images the head's priors are fitted to, and to nothing else."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sgps.datasets.storage import StoredDataset
from sgps.episodes import ClassPool, GroupRows
from sgps.synthesizer import Hypernetwork
from sgps.training.image_bank import ImageBank
from sgps.training.pools import build_pools
from sgps.training.priors import fit_head_priors

WIDTH = 384
NOWHERE = "nowhere"


class RecordingBank(ImageBank):
    """An image bank that keeps which rows were asked for."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)
        self.asked: dict[str, list[int]] = {}

    def images(self, domain: str, rows: Sequence[int] | Tensor) -> Tensor:
        self.asked.setdefault(domain, []).extend(int(row) for row in rows)
        return super().images(domain, rows)


def pools() -> list[ClassPool]:
    """Two domains of 40 rows; groups of up to two images, of which the rows from 30 on are none."""
    return [
        ClassPool(
            domain,
            labels,
            tuple(
                tuple(
                    GroupRows(f"g{number}", (10 * place + number, 10 * place + 9 - number))
                    for number in range(4)
                )
                for place in range(len(labels))
            ),
        )
        for domain, labels in (("first", ("a", "b", "c")), ("second", ("d", "e")))
    ]


def make_bank(*, poisoned: bool = False) -> RecordingBank:
    """Random images and texts; poisoned where no class of :func:`pools` is, or no first image."""
    random = torch.Generator().manual_seed(0)
    images, texts = {}, {}
    for pool in pools():
        shape = (40, 3, 32, 32)
        of_domain = torch.randint(0, 200, shape, dtype=torch.uint8, generator=random)
        if poisoned:
            first = [group.rows[0] for groups in pool.groups_by_label for group in groups]
            others = sorted(set(range(40)) - set(first))
            of_domain[others] = 255
        images[pool.domain] = of_domain
        for label in (*pool.labels, NOWHERE):
            text_F = torch.randn(WIDTH, generator=random)
            texts[pool.domain, label] = torch.nn.functional.normalize(text_F, dim=0)
        if poisoned:
            texts[pool.domain, NOWHERE] = torch.full((WIDTH,), torch.nan)
    return RecordingBank(images, texts, WIDTH)


def fitted(
    hypernetwork: Hypernetwork, bank: ImageBank, chosen: Sequence[ClassPool], **changes: int
) -> dict[str, Tensor]:
    hypernetwork = copy.deepcopy(hypernetwork)
    fit_head_priors(hypernetwork, bank, chosen, **({"images_a_class": 3, "seed": 1} | changes))
    return dict(hypernetwork.generator.head_priors.named_buffers())


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert all(tensor.any() for tensor in left.values())


def test_other_images_and_texts_are_never_read(hypernetwork: Hypernetwork) -> None:
    clean, poisoned = (
        fitted(hypernetwork, make_bank(poisoned=given), pools()) for given in (False, True)
    )
    assert_equal(clean, poisoned)


def test_images_of_validation_and_test_change_nothing(
    hypernetwork: Hypernetwork, bank: ImageBank, phantoms: StoredDataset
) -> None:
    roles = phantoms.frame["role"].to_numpy()
    images = bank.images(phantoms.name, range(len(roles)))
    poisoned = images.clone()
    poisoned[torch.from_numpy(roles != "meta_train")] = 255
    assert not torch.equal(images, poisoned)
    labels = sorted(set(phantoms.frame["label"]))
    texts = dict(
        zip([(phantoms.name, label) for label in labels], bank.texts(phantoms.name, labels),
            strict=True)
    )  # fmt: skip
    chosen = build_pools([phantoms], ("meta_train",), 3)
    first, second = (
        fitted(hypernetwork, ImageBank({phantoms.name: given}, texts, WIDTH), chosen)
        for given in (images, poisoned)
    )
    assert_equal(first, second)


@pytest.mark.parametrize(("wanted", "taken"), [(2, 2), (4, 4), (9, 4)])
def test_one_image_of_a_group_and_no_more_than_asked_for(
    hypernetwork: Hypernetwork, wanted: int, taken: int
) -> None:
    bank = make_bank()
    fitted(hypernetwork, bank, pools(), images_a_class=wanted)
    for pool in pools():
        asked = bank.asked[pool.domain]
        assert len(asked) == len(set(asked)) == taken * len(pool.labels)
        for groups in pool.groups_by_label:
            hits = [sum(row in asked for row in group.rows) for group in groups]
            assert sorted(hits) == [0] * (4 - taken) + [1] * taken


def test_the_seed_decides_which(hypernetwork: Hypernetwork) -> None:
    banks = [make_bank() for _ in range(3)]
    for bank, seed in zip(banks, (1, 1, 2), strict=True):
        fitted(hypernetwork, bank, pools(), images_a_class=2, seed=seed)
    assert banks[0].asked == banks[1].asked != banks[2].asked


def test_the_body_is_the_one_that_synthesis_writes(hypernetwork: Hypernetwork) -> None:
    """With half of the deltas, not with all of them, the priors are fitted."""
    bank, [pool, _] = make_bank(), pools()
    moved = copy.deepcopy(hypernetwork)
    with torch.no_grad():
        for delta in moved.generator.deltas:
            delta.zero_()
    ours, base = (fitted(given, bank, [pool]) for given in (hypernetwork, moved))
    assert not torch.equal(ours["shares_R"], base["shares_R"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_fits_the_same(hypernetwork: Hypernetwork) -> None:
    cuda = torch.device("cuda")
    on_cpu = fitted(hypernetwork, make_bank(), pools())
    on_gpu = fitted(copy.deepcopy(hypernetwork).to(cuda), make_bank().to(cuda), pools())
    torch.testing.assert_close(on_gpu["shares_R"].cpu(), on_cpu["shares_R"], atol=1e-3, rtol=1e-2)
    maps = [given["text_down_FK"] @ given["text_up_KD"] for given in (on_cpu, on_gpu)]
    torch.testing.assert_close(maps[1].cpu(), maps[0], atol=1e-3, rtol=1e-2)
