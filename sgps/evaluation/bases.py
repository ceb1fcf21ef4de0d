"""The two bodies that every baseline runs on: public weights, and the generator's own."""

from __future__ import annotations

import copy

import torch

from sgps.evaluation.features import TapBank
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.sealed import digest_tensors

PUBLIC, META = "public", "meta"


def benchmark_bases(synthesizer: Synthesizer) -> tuple[TapBank, TapBank]:
    """Return the target network with its public weights, and with the meta-trained body.

    The meta-trained body is what the generator emits of the body before it has seen a task: shared
    weights, nothing that depends on a support set.
    """
    hypernetwork = synthesizer.hypernetwork
    with torch.no_grad():
        shared = hypernetwork.shared_body()
    banks = []
    for name, tensors in ((PUBLIC, hypernetwork.base_tensors()), (META, shared)):
        network = copy.deepcopy(hypernetwork.network)
        network.body.load_state_dict(tensors, strict=False)
        bank = TapBank(name, network, digest_tensors(tensors), hypernetwork.normalise)
        banks.append(bank)
    return banks[0], banks[1]
