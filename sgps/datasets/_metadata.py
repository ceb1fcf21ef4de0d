"""Which kinds of metadata an image file carries beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

_DESCRIPTIVE_TIFF_TAGS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
_EXIF_POINTERS = (34665, 34853)
_XMP_TIFF_TAG, _IPTC_TIFF_TAG = 700, 33723


def metadata_kinds(image: Image.Image) -> tuple[str, ...]:
    """Sorted kinds of metadata of a loaded image: exif, icc, iptc, pictures, text, xmp."""
    info = image.info
    tiff_tags: Mapping[int, object] = getattr(image, "tag_v2", {})
    png_text: Mapping[str, object] = getattr(image, "text", {})
    xmp_chunk = "XML:com.adobe.xmp"
    present = {
        "exif": bool(info.get("exif")) or any(tag in tiff_tags for tag in _EXIF_POINTERS),
        "icc": bool(info.get("icc_profile")),
        "iptc": "photoshop" in info or _IPTC_TIFF_TAG in tiff_tags,
        "pictures": image.format == "MPO",
        "text": "comment" in info
        or any(key != xmp_chunk for key in png_text)
        or any(tag in tiff_tags for tag in _DESCRIPTIVE_TIFF_TAGS),
        "xmp": bool(info.get("xmp")) or xmp_chunk in png_text or _XMP_TIFF_TAG in tiff_tags,
    }
    return tuple(kind for kind, found in present.items() if found)
