import numpy as np
import torch
from sklearn.linear_model import Ridge

from sgps.evaluation.baselines.tap_head import start_head


def test_ridge_start_agrees_with_scikit_learn():
    random = torch.Generator().manual_seed(0)
    taps = (torch.randn(6, 4, generator=random), torch.randn(6, 5, generator=random))
    class_S = torch.tensor([0, 0, 1, 1, 2, 2])
    head = start_head(taps, class_S, "ridge", strength=0.5)
    rows_SD = head.rows(taps).numpy()
    np.testing.assert_allclose(np.linalg.norm(rows_SD, axis=1), 1, rtol=1e-5)
    targets_SN = np.eye(3)[class_S.numpy()] - 1 / 3
    reference = Ridge(alpha=0.5, fit_intercept=False).fit(rows_SD, targets_SN)
    np.testing.assert_allclose(head.logits(taps), reference.predict(rows_SD), atol=1e-5)


def test_prototype_start_ranks_by_distance():
    random = torch.Generator().manual_seed(0)
    taps = (torch.randn(6, 4, generator=random), torch.randn(6, 5, generator=random))
    class_S = torch.tensor([0, 0, 1, 1, 1, 2])
    head = start_head(taps, class_S, "prototypes", first_tap=-1, scale=3.0)
    rows_SD = head.rows(taps)
    means_ND = torch.stack([rows_SD[class_S == number].mean(0) for number in range(3)])
    distances_SN = torch.cdist(rows_SD, means_ND).square()
    expected_SN = 3 * (rows_SD.square().sum(1, keepdim=True) - distances_SN)
    torch.testing.assert_close(head.logits(taps), expected_SN, atol=1e-5, rtol=0)
