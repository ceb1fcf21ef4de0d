"""Frozen image and text encoders, and the target networks that a synthesis starts from."""

from sgps.encoders.cache import CachedImageEncoder
from sgps.encoders.images import ImageEncoder, TimmImageEncoder, load_image_encoder
from sgps.encoders.target_networks import (
    DEFAULT_TARGET,
    create_target_network,
    input_statistics,
    native_resolution,
    packaged_target_networks,
)
from sgps.encoders.text import TextEncoder, load_text_encoder

__all__ = [
    "DEFAULT_TARGET",
    "CachedImageEncoder",
    "ImageEncoder",
    "TextEncoder",
    "TimmImageEncoder",
    "create_target_network",
    "input_statistics",
    "load_image_encoder",
    "load_text_encoder",
    "native_resolution",
    "packaged_target_networks",
]
