"""The ISIC archive of skin images, by its public API (version 2)."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from sgps.datasets._grouping import check_fractions, roles_by_group
from sgps.datasets.records import ROLES, ImageRecord
from sgps.datasets.sources._checksums import read_checksums, read_recorded
from sgps.datasets.sources._download import Downloader, Expected
from sgps.datasets.sources._isic_listing import IsicImage, parse_image, patients_of_lesions
from sgps.errors import InputError, IntegrityError
from sgps.files import cannot_write, write_whole

BASE_URL = "https://api.isic-archive.com/api/v2"
HOSTS = (
    "api.isic-archive.com",
    "content.isic-archive.com",
    "isic-archive.s3.amazonaws.com",
    "isic-archive.s3.us-east-1.amazonaws.com",
)

_PAGE_SIZE = 100


class IsicSource:
    """Images of a collection or a search, downloaded when they are read and kept under ``root``.

    ``root/listing.json`` keeps what the archive answered, ``root/images/`` the files,
    ``root/checksums.jsonl`` the SHA-256 of each; a later run downloads only what is missing or
    damaged. The group of an image is its patient, else its lesion, else the image alone. Images
    without a diagnosis are left out and counted in ``skipped``.

    Parameters
    ----------
    collections: collection numbers of the archive, comma-separated, or "all".
    root: folder of the downloads. query: a search in the archive's language, such as
        ``diagnosis_3:"Nevus" AND sex:female``. label_field: the clinical field that names the
        class; None for the most specific diagnosis given.
    role, roles, seed: one role for all images, or shares of roles, met within each class.
    limit: images at most. checksums: a file in the form of sha256sum with further digests.
    allow_download: with False only what is under ``root`` is used.
    max_file_bytes, max_total_bytes: refused above, before and while downloading.

    Raises (when listing or reading)
    ------
    InputError: an argument, a host or a size is not allowed, or there are no labelled images.
    IntegrityError: a file is not what was announced or recorded. StoreError: the archive cannot
    be reached, or ``root`` cannot be written.
    """

    def __init__(
        self,
        collections: str = "all",
        *,
        root: str | Path,
        name: str = "isic",
        query: str = "",
        label_field: str | None = None,
        role: str = "unassigned",
        roles: Mapping[str, float] | None = None,
        seed: int = 0,
        limit: int | None = None,
        base_url: str = BASE_URL,
        hosts: Sequence[str] = HOSTS,
        checksums: str | Path | None = None,
        allow_download: bool = True,
        max_pages: int = 10_000,
        max_file_bytes: int = 50_000_000,
        max_total_bytes: int = 200_000_000_000,
        downloader: Downloader | None = None,
    ) -> None:
        _check_arguments(collections, role, roles, limit)
        self.name = name
        self.root = Path(root)
        self.skipped = 0
        chosen = "" if collections == "all" else collections.replace(" ", "")
        self._request = {"query": query, "collections": chosen}
        self._label_field = label_field
        self._shares = dict(roles) if roles else {role: 1.0}
        self._seed = seed
        self._limit = limit
        self._base_url = base_url.rstrip("/")
        self._allow_download = allow_download
        self._max_pages = max_pages
        self._max_file_bytes = max_file_bytes
        self._max_total_bytes = max_total_bytes
        here = urlsplit(base_url).hostname or ""
        self._downloader = downloader or Downloader([*hosts, here])
        self._given = read_checksums(Path(checksums)) if checksums else {}
        self._recorded: dict[str, str] | None = None
        self._images: list[IsicImage] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._listed())

    def records(self) -> Iterator[ImageRecord]:
        """Yield the images in the archive's order; reading one downloads it where needed."""
        images = self._listed()
        roles = roles_by_group(
            [image.group for image in images],
            self._shares,
            self._seed,
            strata=[image.label for image in images],
        )
        for image, role in zip(images, roles, strict=True):
            yield ImageRecord(
                name=image.file,
                label=image.label,
                group=image.group,
                role=role,
                read=partial(self._read, image),
                sex=image.sex,
                age=image.age,
                site=image.site,
                extra=image.extra,
            )

    def _listed(self) -> list[IsicImage]:
        with self._lock:
            if self._images is None:
                self._images = self._list()
            return self._images

    def _list(self) -> list[IsicImage]:
        results = self._cached_results()
        if results is None:
            results = self._download_results()
            listing = {"request": self._request, "limit": self._limit, "results": results}
            write_whole(self.root / "listing.json", json.dumps(listing, indent=1))
        patients = patients_of_lesions(results)
        parsed = [parse_image(result, self._label_field, patients) for result in results]
        images = [image for image in parsed if image is not None]
        self.skipped = len(parsed) - len(images)
        if not images:
            raise InputError(
                f"ISIC archive, {self._request}: no image with a diagnosis among {len(parsed)}",
                expected="at least one",
                remedy="correct the collection, the query or the label field",
            )
        total = sum(image.size or 0 for image in images)
        if total > self._max_total_bytes:
            raise InputError(
                f"ISIC archive: {total:,} bytes to download",
                expected=f"at most {self._max_total_bytes:,}",
                remedy="give a limit or narrow the query",
            )
        return images

    def _cached_results(self) -> list[dict[str, Any]] | None:
        path = self.root / "listing.json"
        try:
            listing = json.loads(path.read_text(encoding="utf-8"))
            if listing["request"] == self._request and listing["limit"] == self._limit:
                return list(listing["results"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"{path}: damaged ({error})", remedy="remove it; it is downloaded again"
            ) from error
        if not self._allow_download:
            raise InputError(
                f"{path}: does not list this request and downloads are off",
                expected="a listing of an earlier run",
                remedy="allow downloads once",
            )
        return None

    def _download_results(self) -> list[dict[str, Any]]:
        asked = {key: value for key, value in self._request.items() if value}
        parameters = urlencode({**asked, "limit": str(_PAGE_SIZE)})
        url: str | None = f"{self._base_url}/images/search/?{parameters}"
        results: list[dict[str, Any]] = []
        seen: set[str] = set()
        while url and (self._limit is None or len(results) < self._limit):
            if url in seen or len(seen) >= self._max_pages:
                raise InputError(
                    f"{url}: page {len(seen) + 1}",
                    expected=f"at most {self._max_pages} pages, each once",
                )
            seen.add(url)
            page = self._downloader.get_json(url)
            found = page.get("results")
            if not isinstance(found, list):
                raise InputError(f"{url}: no results in the answer", expected="the ISIC API v2")
            results += found
            url = page.get("next")
        return results[: self._limit]

    def _read(self, image: IsicImage) -> bytes:
        path = self.root / "images" / image.file
        recorded = self._checksums().get(image.file)
        wanted = self._given.get(image.file) or recorded
        data = path.read_bytes() if path.is_file() else None
        if data is not None and _fits(data, image.size, wanted):
            if recorded is None:
                self._record(image.file, hashlib.sha256(data).hexdigest())
            return data
        if not self._allow_download:
            state = "missing" if data is None else "damaged"
            raise IntegrityError(
                f"{path}: {state} and downloads are off", remedy="allow downloads and run again"
            )
        digest = self._downloader.download(
            image.url, path, Expected(image.size, wanted), max_bytes=self._max_file_bytes
        )
        if recorded is None:
            self._record(image.file, digest)
        return path.read_bytes()

    def _checksums(self) -> dict[str, str]:
        with self._lock:
            if self._recorded is None:
                self._recorded = read_recorded(self.root / "checksums.jsonl")
            return self._recorded

    def _record(self, file: str, digest: str) -> None:
        with self._lock:
            if self._recorded is not None:
                self._recorded[file] = digest
            path = self.root / "checksums.jsonl"
            try:
                with path.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps({"file": file, "sha256": digest}) + "\n")
            except OSError as error:
                raise cannot_write(path, error) from error


def _check_arguments(
    collections: str, role: str, roles: Mapping[str, float] | None, limit: int | None
) -> None:
    if not re.fullmatch(r"all|\d+( *, *\d+)*", collections):
        raise InputError(
            f"ISIC collections {collections[:80]!r}", expected="all, or numbers such as 66,70"
        )
    unknown = [name for name in (roles or {role: 1.0}) if name not in ROLES]
    if unknown:
        raise InputError(f"role {unknown[0]!r} is unknown", expected=" or ".join(ROLES))
    if roles:
        check_fractions(roles)
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}", expected="at least 1 image, or None")


def _fits(data: bytes, size: int | None, digest: str | None) -> bool:
    if size is not None and len(data) != size:
        return False
    return digest is None or hashlib.sha256(data).hexdigest() == digest
