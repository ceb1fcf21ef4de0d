"""Images in: manifests, sources, decoding and hygiene, stored datasets, descriptions, phantoms."""

from sgps.datasets.decoding import (
    DecodedImage,
    ImageLimits,
    decode_image,
    encode_png,
    hash_pixels,
    perceptual_hash,
    read_image,
)
from sgps.datasets.descriptions import ClassDescription, DescriptionLibrary
from sgps.datasets.expectations import (
    Finding,
    ValidationResult,
    ValidationRules,
    validate_datasets,
)
from sgps.datasets.ingest import ingest
from sgps.datasets.manifest import (
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    read_manifest,
    resolve_image_path,
)
from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom
from sgps.datasets.preprocessing import resize_and_crop
from sgps.datasets.records import ROLES, ImageRecord, Source
from sgps.datasets.report import require_valid, write_validation_report
from sgps.datasets.sources import SOURCE_KINDS, open_source
from sgps.datasets.storage import StoredDataset, find_datasets

__all__ = [
    "OPTIONAL_COLUMNS",
    "PHANTOM_CLASSES",
    "REQUIRED_COLUMNS",
    "ROLES",
    "SOURCE_KINDS",
    "ClassDescription",
    "DecodedImage",
    "DescriptionLibrary",
    "Finding",
    "ImageLimits",
    "ImageRecord",
    "Source",
    "StoredDataset",
    "ValidationResult",
    "ValidationRules",
    "decode_image",
    "draw_phantom",
    "encode_png",
    "find_datasets",
    "hash_pixels",
    "ingest",
    "open_source",
    "perceptual_hash",
    "read_image",
    "read_manifest",
    "require_valid",
    "resize_and_crop",
    "resolve_image_path",
    "validate_datasets",
    "write_validation_report",
]
