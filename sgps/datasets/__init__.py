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
    "ImageLimits",
    "ImageRecord",
    "Source",
    "StoredDataset",
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
    "resize_and_crop",
    "resolve_image_path",
]
