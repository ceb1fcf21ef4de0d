"""Drawn skin lesions, for demos and tests: no licence, no download, no patient.

They look like dermoscopy of the lesions they are named after and are made for nothing else: no
figure measured on them says anything about real images.
"""

from __future__ import annotations

import numpy as np

from sgps.datasets._phantom_kinds import RECIPES
from sgps.datasets._phantom_scene import Scene
from sgps.datasets._phantom_structures import hairs
from sgps.datasets.decoding import Pixels
from sgps.errors import InputError, UnknownNameError

PHANTOM_CLASSES: dict[str, str] = {
    "reticular_nevus": (
        "Symmetric, evenly brown, round to oval lesion with a regular honeycomb pigment network of "
        "thin brown lines that fades out softly at the border; no blue, red or white areas."
    ),
    "globular_nevus": (
        "Symmetric brown lesion of closely packed, evenly sized round to polygonal brown globules, "
        "like cobblestones, on a light brown ground; no network lines, well-defined soft border."
    ),
    "melanoma": (
        "Large asymmetric lesion with an irregular, notched border and several colours (light and "
        "dark brown, black, blue-grey, red, white); broad atypical network, dark blotches and "
        "dots, streaks on one side and a blue-white veil over part of it."
    ),
    "seborrheic_keratosis": (
        "Sharply demarcated, stuck-on yellow-brown plaque with a dull ridged surface, many small "
        "bright white-yellow milia-like cysts and dark brown round comedo-like openings."
    ),
    "basal_cell_carcinoma": (
        "Pale pink, translucent lesion without network, crossed by sharply focused, bright red, "
        "tree-like branching vessels, with blue-grey ovoid nests and sometimes an orange-brown "
        "ulceration."
    ),
    "angioma": (
        "Sharply bordered lesion of round red to purple lacunae, lying close together and "
        "separated by pale pink septa; no brown pigment and no network."
    ),
    "dermatofibroma": (
        "Light brown, round lesion with a bright white scar-like patch in the centre and a "
        "delicate, thin-lined pigment network in a ring around it that fades into the skin."
    ),
    "actinic_keratosis": (
        "Large, poorly bordered pink-red patch with a red pseudonetwork around pale yellow-white "
        "follicle openings (strawberry pattern) and patches of white-yellow surface scale."
    ),
    "blue_nevus": (
        "Small, smooth, symmetric lesion of homogeneous steel-blue to grey-blue colour with a "
        "well-defined border and without network, globules, dots or vessels."
    ),
    "starburst_nevus": (
        "Small, symmetric, dark brown to black lesion with a homogeneous blue-black centre and "
        "evenly spaced dark radial streaks that project from the whole border like a starburst."
    ),
    "solar_lentigo": (
        "Flat, light to medium brown patch with a sharp moth-eaten border and thin parallel brown "
        "lines like a fingerprint; no dark blotches, no white, blue or red areas."
    ),
    "keratoacanthoma": (
        "Pink dome with a central yellow-brown keratin plug with dark blood spots, a whitish halo "
        "around it and short red hairpin vessels that point outwards along the rim."
    ),
    "bowen_disease": (
        "Pink-red, irregular scaly plaque with clusters of small coiled (glomerular) red vessels "
        "and white flaky surface scale; no pigment network."
    ),
}

_HAIRY = 0.25


def draw_phantom(kind: str, size: int, rng: np.random.Generator) -> Pixels:
    """Draw one lesion of ``kind`` (a key of ``PHANTOM_CLASSES``): uint8 (size, size, 3).

    The state of ``rng`` decides everything else: skin, place, form, colours, structures, hair.

    Raises
    ------
    UnknownNameError: ``kind`` is none of ``PHANTOM_CLASSES``. InputError: ``size`` is not from 32
        to 1024.
    """
    recipe = RECIPES.get(kind)
    if recipe is None:
        raise UnknownNameError(
            f"phantom class {kind!r}", expected=f"one of {', '.join(PHANTOM_CLASSES)}"
        )
    if not 32 <= size <= 1024:
        raise InputError(f"phantom size {size}", expected="32 to 1024 pixels")
    scene = Scene(size, rng)
    recipe(scene)
    if rng.random() < _HAIRY:
        hairs(scene, int(rng.integers(2, 9)))
    return scene.render()
