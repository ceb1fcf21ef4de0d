import pytest
import torch


@pytest.fixture
def another_device(monkeypatch):
    """A device whose tensors neither mix with those of the CPU nor turn into arrays, as a GPU's.

    Its tensors hold nothing: brought to the CPU they are ones, and no condition on them holds.
    """
    to_cpu, to_bool = torch.Tensor.cpu, torch.Tensor.__bool__

    def cpu(tensor):
        return torch.ones(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else to_cpu(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    monkeypatch.setattr(
        torch.Tensor, "__bool__", lambda tensor: not tensor.is_meta and to_bool(tensor)
    )
    return torch.device("meta")
