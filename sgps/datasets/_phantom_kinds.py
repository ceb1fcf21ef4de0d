"""A recipe for each kind of lesion; what the words mean is in ``PHANTOM_CLASSES``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sgps.datasets import _phantom_structures as structures
from sgps.datasets._phantom_scene import Field, Scene, outline, smooth_step

_BLUE_GREY = (0.40, 0.45, 0.55)
_WHITE = (0.93, 0.88, 0.85)
_KERATIN = (0.93, 0.86, 0.68)
_PLUG = (0.20, 0.12, 0.07)


def draw_reticular_nevus(scene: Scene) -> None:
    shape = outline(scene, irregular=0.03, edge=0.2, stretch=0.35)
    base = scene.between(0.4, 0.7)
    centre = 1 + 0.5 * (1 - smooth_step(shape.reach, 0.0, 0.7))
    lines = structures.network(scene, scene.between(0.085, 0.12), uneven=0.14, line=0.3)
    fading = 1 - 0.7 * smooth_step(shape.reach, 0.5, 1.05)
    scene.melanin += shape.inside * centre * base * (1 + 0.12 * scene.noise(4, octaves=2))
    scene.melanin += shape.inside * fading * lines * scene.between(0.35, 0.6)


def draw_globular_nevus(scene: Scene) -> None:
    shape = outline(scene, irregular=0.03, edge=0.1, stretch=0.3)
    scene.melanin += shape.inside * scene.between(0.25, 0.45) * (1 + 0.12 * scene.noise(4))
    cobbles = structures.cobbles(scene, shape, scene.between(0.13, 0.18), fill=0.5, high=0.95)
    scene.melanin += cobbles * scene.between(0.55, 0.95) * (1 + 0.22 * scene.noise(10))


def draw_melanoma(scene: Scene) -> None:
    shape = outline(scene, radius=(0.55, 0.8), irregular=0.09, ragged=0.045, edge=0.1, stretch=0.6)
    uneven = 0.75 + 0.4 * scene.noise(3, octaves=3)
    lines = structures.network(scene, scene.between(0.13, 0.18), uneven=0.4, line=0.6)
    scene.melanin += shape.inside * uneven.clip(0.2, None) * scene.between(0.75, 1.1)
    scene.melanin += structures.patch(scene, shape, 0.5, soft=0.7) * lines * 0.6
    scene.melanin += structures.patch(scene, shape, 0.3) * scene.between(0.7, 1.3)
    scene.melanin += 0.7 * structures.streaks(scene, shape, 12, regular=False)
    scene.melanin += 0.9 * structures.spots(scene, shape, 22, (0.012, 0.04), high=1.0)
    scene.blood += 0.6 * structures.patch(scene, shape, 0.25, soft=0.7)
    veil = structures.patch(scene, shape, scene.between(0.2, 0.35), soft=0.8)
    scene.cover(_BLUE_GREY, scene.between(0.55, 0.8) * veil)
    scene.cover(_WHITE, 0.35 * structures.patch(scene, shape, 0.1, soft=0.6))


def draw_blue_nevus(scene: Scene) -> None:
    shape = outline(scene, radius=(0.38, 0.6), irregular=0.03, edge=0.15, stretch=0.3)
    scene.melanin += scene.between(0.15, 0.4) * (1 - smooth_step(shape.reach, 0.75, 1.25))
    depth = scene.between(0.8, 0.92) + 0.04 * scene.noise(4, octaves=2)
    tone = scene.between(-0.04, 0.05)
    scene.cover((0.27 + tone, 0.33 + tone, 0.43 + tone), shape.inside * depth)
    haze = 1 - smooth_step(shape.reach + 0.15 * scene.noise(4, octaves=2), 0.1, 0.9)
    scene.cover((0.50, 0.55, 0.64), scene.between(0.1, 0.35) * haze)


def draw_seborrheic_keratosis(scene: Scene) -> None:
    shape = outline(scene, radius=(0.55, 0.78), irregular=0.05, ragged=0.025, edge=0.03)
    tone = scene.between(0.4, 0.85)
    scene.melanin += shape.inside * tone * (1 + 0.25 * scene.noise(4, octaves=4))
    furrows = smooth_step(-np.abs(scene.noise(7, octaves=2)), -0.35, 0.0)
    scene.melanin += shape.inside * furrows * scene.between(0.2, 0.6)
    scene.cover((0.78, 0.64, 0.40), scene.between(0.15, 0.35) * shape.inside)
    scene.melanin += 0.3 * shape.inside * smooth_step(shape.reach, 0.84, 0.98)
    plugs = structures.spots(scene, shape, int(scene.rng.integers(7, 16)), (0.03, 0.06), blur=0.03)
    cysts = structures.spots(
        scene, shape, int(scene.rng.integers(10, 24)), (0.018, 0.04), blur=0.028
    )
    scene.cover(_PLUG, 0.85 * plugs)
    scene.cover((0.97, 0.92, 0.78), 0.95 * cysts)


def draw_basal_cell_carcinoma(scene: Scene) -> None:
    shape = outline(scene, radius=(0.5, 0.74), irregular=0.07, ragged=0.03, edge=0.1, stretch=0.4)
    ground = shape.inside * (0.75 + 0.2 * scene.noise(4, octaves=3)).clip(0, 1)
    scene.cover((0.93, 0.76, 0.74), scene.between(0.6, 0.8) * ground)
    nests = structures.spots(
        scene, shape, int(scene.rng.integers(4, 11)), (0.05, 0.12), low=0.3, blur=0.06
    )
    mottled = (0.8 + 0.25 * scene.noise(12, octaves=2)).clip(0, 1)
    scene.cover((0.36, 0.37, 0.44), 0.85 * nests * mottled)
    vessels = structures.branching_vessels(
        scene, shape, int(scene.rng.integers(4, 7)), width=scene.between(0.024, 0.032)
    )
    scene.cover((0.72, 0.15, 0.17), 0.8 * vessels)
    if scene.rng.random() < 0.5:
        ulcer = structures.patch(scene, shape, 0.08, soft=0.25)
        scene.cover((0.60, 0.25, 0.12), 0.8 * ulcer)


def draw_angioma(scene: Scene) -> None:
    shape = outline(scene, radius=(0.4, 0.65), irregular=0.05, ragged=0.02, edge=0.05, stretch=0.3)
    lacunae = structures.cobbles(scene, shape, scene.between(0.24, 0.34), fill=0.85, high=0.96)
    scene.blood += 0.45 * shape.inside
    scene.blood += lacunae * scene.between(0.8, 1.3) * (1 + 0.2 * scene.noise(5, octaves=2))
    purple = smooth_step(scene.noise(3, octaves=2), -0.2, 1.6)
    scene.cover((0.33, 0.13, 0.28), scene.between(0.4, 0.85) * lacunae * purple)
    scene.cover((0.90, 0.70, 0.72), 0.35 * shape.inside * (1 - lacunae))


def draw_dermatofibroma(scene: Scene) -> None:
    shape = outline(scene, irregular=0.03, edge=0.25, stretch=0.2)
    lines = structures.network(scene, scene.between(0.08, 0.11), uneven=0.14, line=0.2)
    ring = shape.inside * smooth_step(shape.reach, 0.3, 0.7)
    scene.melanin += shape.inside * scene.between(0.25, 0.45) * (1 + 0.12 * scene.noise(4))
    scene.melanin += ring * lines * scene.between(0.25, 0.4)
    scene.blood += scene.between(0.05, 0.2) * shape.inside
    fade = shape.reach + 0.09 * scene.noise(6, octaves=3)
    scar = 1 - smooth_step(fade, scene.between(0.15, 0.3), scene.between(0.55, 0.7))
    scene.cover((0.94, 0.87, 0.84), scene.between(0.7, 0.9) * scar)


def draw_starburst_nevus(scene: Scene) -> None:
    shape = outline(scene, radius=(0.42, 0.6), irregular=0.02, edge=0.08, stretch=0.15)
    core = 1 - smooth_step(shape.reach, 0.62, 0.95)
    scene.melanin += 0.6 * shape.inside + core * scene.between(0.9, 1.5)
    count = int(scene.rng.integers(20, 30))
    scene.melanin += 1.5 * structures.streaks(scene, shape, count, regular=True)
    scene.cover((0.30, 0.34, 0.44), scene.between(0.1, 0.4) * core)


def draw_actinic_keratosis(scene: Scene) -> None:
    shape = outline(scene, radius=(0.6, 0.85), irregular=0.06, ragged=0.05, edge=0.3)
    follicles = structures.cobbles(scene, shape, scene.between(0.17, 0.23), fill=0.2, high=0.95)
    redness = scene.between(0.4, 0.65) * (1 + 0.25 * scene.noise(5, octaves=2))
    scene.blood += shape.inside * redness * (1 - 0.6 * follicles)
    scene.cover((0.94, 0.86, 0.68), scene.between(0.45, 0.65) * follicles)
    scale = structures.patch(scene, shape, scene.between(0.1, 0.22), soft=0.3)
    scene.cover((0.95, 0.92, 0.84), 0.8 * scale * (0.65 + 0.3 * scene.noise(24)).clip(0, 1))


def draw_solar_lentigo(scene: Scene) -> None:
    shape = outline(
        scene, radius=(0.55, 0.78), irregular=0.06, ragged=0.055, edge=0.04, stretch=0.4
    )
    scene.melanin += (
        shape.inside * scene.between(0.22, 0.42) * (1 + 0.15 * scene.noise(5, octaves=3))
    )
    turn, warp = scene.between(0, 2 * np.pi), 0.08 * scene.noise(3, octaves=2)
    lines = _parallel_lines(scene, turn, warp, scene.between(0.06, 0.08))
    broken = (0.7 + 0.5 * scene.noise(6)).clip(0, 1)
    scene.melanin += shape.inside * lines * broken * scene.between(0.12, 0.24)


def draw_keratoacanthoma(scene: Scene) -> None:
    shape = outline(scene, radius=(0.55, 0.78), irregular=0.03, edge=0.1, stretch=0.15)
    scene.blood += shape.inside * scene.between(0.4, 0.6) * (1 + 0.15 * scene.noise(5, octaves=2))
    halo = shape.inside * (1 - smooth_step(shape.reach, 0.5, 0.8))
    scene.cover(_WHITE, 0.6 * halo * (0.85 + 0.25 * scene.noise(9)).clip(0, 1))
    vessels = structures.hairpin_vessels(scene, shape, 40, low=0.55, high=0.88)
    scene.cover((0.62, 0.08, 0.12), 0.8 * vessels)
    fade = shape.reach + 0.06 * scene.noise(7, octaves=2)
    plug = 1 - smooth_step(fade, 0.36, scene.between(0.44, 0.54))
    crust = (0.5 + 0.5 * scene.noise(9, octaves=3)).clip(0, 1)
    scene.cover(_KERATIN, 0.95 * plug)
    scene.cover((0.62, 0.42, 0.20), 0.65 * plug * crust)
    blots = structures.spots(scene, shape, 5, (0.03, 0.06), high=0.4, blur=0.03)
    scene.cover((0.30, 0.08, 0.06), 0.7 * blots * plug)


def draw_bowen_disease(scene: Scene) -> None:
    shape = outline(scene, radius=(0.55, 0.8), irregular=0.07, ragged=0.04, edge=0.1, stretch=0.4)
    scene.blood += shape.inside * scene.between(0.25, 0.4) * (1 + 0.1 * scene.noise(5))
    coils = structures.coiled_vessels(scene, shape, int(scene.rng.integers(50, 90)))
    scene.cover((0.66, 0.08, 0.12), 0.85 * coils)
    flakes = structures.patch(scene, shape, scene.between(0.12, 0.25), soft=0.2)
    texture = (0.6 + 0.5 * scene.noise(26)).clip(0, 1)
    scene.cover((0.97, 0.94, 0.90), 0.85 * flakes * texture)


def _parallel_lines(scene: Scene, turn: float, warp: Field, distance: float) -> Field:
    along = np.float32(np.cos(turn)) * scene.x + np.float32(np.sin(turn)) * scene.y + warp
    lines: Field = 0.5 + 0.5 * np.cos(along * np.float32(2 * np.pi / distance))
    return lines


RECIPES: dict[str, Callable[[Scene], None]] = {
    "reticular_nevus": draw_reticular_nevus,
    "globular_nevus": draw_globular_nevus,
    "melanoma": draw_melanoma,
    "seborrheic_keratosis": draw_seborrheic_keratosis,
    "basal_cell_carcinoma": draw_basal_cell_carcinoma,
    "angioma": draw_angioma,
    "dermatofibroma": draw_dermatofibroma,
    "actinic_keratosis": draw_actinic_keratosis,
    "blue_nevus": draw_blue_nevus,
    "starburst_nevus": draw_starburst_nevus,
    "solar_lentigo": draw_solar_lentigo,
    "keratoacanthoma": draw_keratoacanthoma,
    "bowen_disease": draw_bowen_disease,
}
