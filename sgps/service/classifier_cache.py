"""Loaded classifiers, a few of them, each checked against the ledger whenever it is used."""

from __future__ import annotations

import threading
from collections import OrderedDict

from sgps.errors import IntegrityError, UnknownNameError
from sgps.service._loading import LoadedModel, check_loaded, load_model
from sgps.service._recorded import find_recorded
from sgps.service.workspace import Workspace

MOST_LOADED = 8


class ClassifierCache:
    """The classifiers that were used last; safe to share between threads.

    Registry and ledger are asked on each use, so that an alias that moved, a change of state, an
    erasure and a removed version count at once, whichever process made them; only the files are
    not read again. A classifier that may not answer any more is put away.

    Parameters
    ----------
    most: how many classifiers are kept.
    """

    def __init__(self, most: int = MOST_LOADED) -> None:
        if most < 1:
            raise ValueError(f"a cache of {most} classifiers: expected 1 or more")
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, LoadedModel] = OrderedDict()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def load(self, model_uri: str, workspace: Workspace) -> LoadedModel:
        """The model of an address, with its state as of now.

        Raises
        ------
        UnknownNameError: there is no such model (any more).
        IntegrityError: its bytes are not those that the ledger recorded, it was erased, or the
            alias ``approved`` stands for a version that is not.
        StoreError: ledger or registry cannot be read.
        """
        try:
            version = workspace.registry.describe(model_uri)
        except UnknownNameError:
            self.evict(model_uri)
            raise
        known = self._find(version.model_uri)
        if known is None or known.version.run_id != version.run_id:
            return self._keep(load_model(model_uri, workspace))
        recorded = known.recorded or find_recorded(version, workspace.ledger)
        try:
            return check_loaded(model_uri, version, recorded, known.classifier, workspace)
        except IntegrityError:
            self.evict(version.model_uri)
            raise

    def evict(self, name: str) -> int:
        """Forget the classifier of a ``models:/name/version`` or request id; how many there were.

        The memory is free once nobody predicts with it any more.
        """
        with self._lock:
            chosen = [
                uri for uri, kept in self._kept.items() if name in (uri, kept.version.request_id)
            ]
            for uri in chosen:
                del self._kept[uri]
        return len(chosen)

    def clear(self) -> None:
        """Forget every classifier."""
        with self._lock:
            self._kept.clear()

    def _find(self, model_uri: str) -> LoadedModel | None:
        with self._lock:
            kept = self._kept.get(model_uri)
            if kept is not None:
                self._kept.move_to_end(model_uri)
            return kept

    def _keep(self, loaded: LoadedModel) -> LoadedModel:
        model_uri = loaded.version.model_uri
        with self._lock:
            self._kept[model_uri] = loaded
            self._kept.move_to_end(model_uri)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return loaded
