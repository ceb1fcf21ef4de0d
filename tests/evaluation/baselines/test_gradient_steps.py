import numpy as np
import pytest
import torch

from sgps.evaluation.baselines.gradient_steps import balanced_loss, descend


def test_each_class_weighs_alike_in_the_loss():
    logits_SN = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    loss = balanced_loss(logits_SN, torch.tensor([0, 0, 0, 1]))
    expected = (np.log1p(np.exp(-2)) + np.log1p(np.exp(1))) / 2
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cosine", "rates"), [(False, [0.5, 0.5, 0.5, 0.5]), (True, [0.5, 0.427, 0.25, 0.073])]
)
def test_steps_go_down_the_loss_at_their_learning_rates(cosine, rates):
    place = torch.tensor(1.0, requires_grad=True)
    optimiser = torch.optim.SGD([place], lr=0.5)
    places = []

    def loss_of():
        places.append(place.item())
        return place + 0.0

    losses = descend(optimiser, loss_of, 4, cosine=cosine)
    assert losses == places
    places.append(place.item())
    np.testing.assert_allclose(-np.diff(places), rates, atol=1e-3)
