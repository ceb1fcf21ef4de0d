"""Registered classifiers tried on new images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from sgps.datasets.decoding import Pixels
from sgps.errors import IntegrityError, UnknownNameError
from sgps.service.classifier_cache import MOST_LOADED, ClassifierCache
from sgps.service.prediction import LoadedModel, predict_pixels, unapproved_warning
from sgps.service.workspace import Workspace
from sgps.web.galleries import Gallery, open_gallery


class TrialRoom:
    """The classifiers that were tried last, with their support images.

    Safe to share between threads: while one waits for the registry, no other has to wait for it.
    What was erased or removed in the meantime does not answer any more.
    """

    def __init__(self) -> None:
        self._cache = ClassifierCache()
        self._lock = threading.Lock()
        self._galleries: OrderedDict[str, tuple[str, Gallery | None]] = OrderedDict()

    def predict(
        self, model_uri: str, pixels: Pixels, workspace: Workspace, *, who: str
    ) -> dict[str, Any]:
        """What a registered classifier says of one image, uint8 (H, W, 3), JSON-able.

        The use is recorded in the ledger on behalf of ``who``.

        Raises
        ------
        UnknownNameError: there is no such classifier.
        IntegrityError: its bytes are not those that the ledger recorded, or it was erased.
        StoreError: ledger or registry cannot be used.
        """
        loaded = self._load(model_uri, workspace)
        prediction = predict_pixels(
            model_uri, [("image", pixels)], workspace, who=who, cache=self._cache
        )[0]
        gallery = self._gallery(loaded, workspace)
        nearest = gallery.nearest(loaded.classifier, pixels) if gallery else None
        return {
            "model_uri": loaded.version.model_uri,
            "label": prediction.label,
            "probabilities": prediction.probabilities,
            "abstains": prediction.abstains,
            "abstention_threshold": prediction.abstention_threshold,
            **prediction.at_home(),
            "nearest": nearest,
            "state": prediction.state,
            "warning": unapproved_warning(loaded),
        }

    def support_png(self, model_uri: str, number: int, workspace: Workspace) -> bytes:
        """PNG of a small copy of one support image, counted from 0. Raises as :meth:`predict`."""
        gallery = self._gallery(self._load(model_uri, workspace), workspace)
        if gallery is None:
            raise UnknownNameError("the support images are not there", remedy="ask the operator")
        return gallery.png(number)

    def _load(self, model_uri: str, workspace: Workspace) -> LoadedModel:
        try:
            return self._cache.load(model_uri, workspace)
        except (IntegrityError, UnknownNameError):
            with self._lock:
                self._galleries.pop(model_uri, None)
            raise

    def _gallery(self, loaded: LoadedModel, workspace: Workspace) -> Gallery | None:
        uri, run_id = loaded.version.model_uri, loaded.version.run_id
        with self._lock:
            kept = self._galleries.get(uri)
        if kept is None or kept[0] != run_id:
            kept = (run_id, open_gallery(run_id, loaded.classifier, workspace))
        with self._lock:
            self._galleries[uri] = kept
            self._galleries.move_to_end(uri)
            while len(self._galleries) > MOST_LOADED:
                self._galleries.popitem(last=False)
        return kept[1]
