"""The ground of a drawn lesion: smooth noise, skin, outline, pigment, light.

Colour follows a simple model of skin: melanin and blood absorb what the skin reflects, what lies
above (keratin, haze) or deep below (blue-grey pigment) is blended in. Positions run from -1 to 1
over the image and every random number is drawn at a fixed grid, so one seed gives one lesion at
any size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Field = npt.NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

_MELANIN_ABSORPTION = np.array((0.42, 0.85, 1.22), dtype=np.float32)
_BLOOD_ABSORPTION = np.array((0.13, 0.88, 0.72), dtype=np.float32)
_SKIN_TONES: tuple[Colour, ...] = (
    (0.90, 0.76, 0.69),
    (0.87, 0.70, 0.63),
    (0.84, 0.68, 0.66),
    (0.83, 0.68, 0.56),
    (0.92, 0.80, 0.75),
    (0.76, 0.60, 0.49),
)


@dataclass(frozen=True)
class Outline:
    """Where the lesion is.

    inside: 0 to 1 with a soft edge. reach: distance from the centre over the border's, so 0 at
    the centre and 1 on the border. angle: in radians. centre: in image positions. radius: mean
    radius in half image widths.
    """

    inside: Field
    reach: Field
    angle: Field
    centre: tuple[float, float]
    radius: float


@dataclass
class Scene:
    """One image in the making, of ``size`` x ``size`` pixels."""

    size: int
    rng: np.random.Generator
    x: Field = field(init=False)
    y: Field = field(init=False)
    melanin: Field = field(init=False)
    blood: Field = field(init=False)
    layers: list[tuple[Colour, Field]] = field(default_factory=list)

    def __post_init__(self) -> None:
        steps = (np.arange(self.size, dtype=np.float32) + 0.5) * (2 / self.size) - 1
        self.x, self.y = np.meshgrid(steps, steps)
        self.melanin = np.zeros((self.size, self.size), np.float32)
        self.blood = np.zeros((self.size, self.size), np.float32)

    def noise(self, cells: int, octaves: int = 1) -> Field:
        """Smooth noise of mean 0 and deviation about 1, with ``cells`` bumps across the image."""
        total = np.zeros((self.size, self.size), np.float32)
        weight, energy = 1.0, 0.0
        for octave in range(octaves):
            grid = self.rng.standard_normal((cells * 2**octave + 3,) * 2).astype(np.float32)
            image = Image.fromarray(grid).resize((self.size,) * 2, Image.Resampling.BICUBIC)
            total += weight * np.asarray(image)
            energy += weight**2
            weight *= 0.55
        return total * np.float32(1.4 / np.sqrt(energy))

    def between(self, low: float, high: float) -> float:
        """A number drawn evenly from ``low`` to ``high``."""
        return float(self.rng.uniform(low, high))

    def cover(self, colour: Colour, opacity: Field) -> None:
        """Blend ``colour`` over what is there, ``opacity`` from 0 to 1."""
        self.layers.append((colour, opacity))

    def ink(self) -> Ink:
        """An empty drawing for lines, finer than the image."""
        return Ink(self.size)

    def render(self) -> npt.NDArray[np.uint8]:
        """The finished image: uint8 (size, size, 3)."""
        skin = self._skin()
        absorbed = (
            self.melanin[..., None] * _MELANIN_ABSORPTION
            + self.blood[..., None] * _BLOOD_ABSORPTION
        )
        rgb = skin * np.exp(-absorbed)
        for colour, opacity in self.layers:
            rgb += np.clip(opacity, 0, 1)[..., None] * (np.array(colour, np.float32) - rgb)
        rgb = self._light(rgb)
        return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)

    def _skin(self) -> Field:
        tone = np.array(_SKIN_TONES[self.rng.integers(len(_SKIN_TONES))], np.float32)
        tone = tone * np.float32(self.between(0.92, 1.06))
        mottle = 0.014 * self.noise(5, octaves=3) + 0.012 * self.noise(48)
        pink = (0.05 * smooth_step(self.noise(6, octaves=3), -0.5, 2.5))[
            ..., None
        ] * _BLOOD_ABSORPTION
        skin: Field = tone * (1 + mottle[..., None]) * np.exp(-pink)
        return skin

    def _light(self, rgb: Field) -> Field:
        slope_x, slope_y = self.rng.normal(0, 0.045, 2)
        falloff = self.between(0.03, 0.16) * (self.x**2 + self.y**2)
        light = self.between(0.93, 1.05) * (1 + slope_x * self.x + slope_y * self.y - falloff)
        cast = self.rng.normal(1, 0.015, 3)
        grain = self.rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(0.008)
        lit: Field = (rgb * light[..., None] * cast + grain).astype(np.float32)
        return lit


class Ink:
    """A mask of lines and dots, drawn at twice the image's resolution or more."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._fine = max(2 * size, 256)
        self._image = Image.new("L", (self._fine, self._fine), 0)
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: npt.ArrayLike, width: float, strength: float = 1.0) -> None:
        """A polyline through ``points`` (n, 2); positions and width in half image widths."""
        scaled = (np.asarray(points, dtype=np.float64) + 1) * (self._fine / 2)
        pixels = max(1, round(width * self._fine / 2))
        flat = [(float(px), float(py)) for px, py in scaled]
        self._draw.line(flat, fill=int(255 * strength), width=pixels, joint="curve")

    def disc(self, x: float, y: float, radius: float, strength: float = 1.0) -> None:
        """A filled disc; position and radius in half image widths."""
        scale = self._fine / 2
        px, py, pr = (x + 1) * scale, (y + 1) * scale, max(0.6, radius * scale)
        self._draw.ellipse((px - pr, py - pr, px + pr, py + pr), fill=int(255 * strength))

    def mask(self, blur: float = 0.0) -> Field:
        """The drawing at image size, 0 to 1; ``blur`` in half image widths softens it."""
        coarse = self._size
        if blur > 0:
            coarse = max(8, min(self._size, round(2.2 / blur)))
        image = self._image.resize((coarse, coarse), Image.Resampling.BOX)
        if coarse != self._size:
            image = image.resize((self._size, self._size), Image.Resampling.BICUBIC)
        return np.asarray(image, dtype=np.float32) / 255


def smooth_step(values: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    result: Field = (t * t * (3 - 2 * t)).astype(np.float32)
    return result


def outline(
    scene: Scene,
    *,
    radius: tuple[float, float] = (0.45, 0.72),
    irregular: float = 0.05,
    ragged: float = 0.0,
    edge: float = 0.1,
    stretch: float = 0.25,
) -> Outline:
    """Draw where the lesion lies.

    irregular: amplitude of the lobes of its border. ragged: fine unevenness of the border.
    edge: width of the fading rim, as a fraction of the radius. stretch: largest elongation.
    """
    rng = scene.rng
    mean = scene.between(*radius)
    cx, cy = (float(shift) for shift in rng.normal(0, 0.09, 2))
    dx, dy = scene.x - np.float32(cx), scene.y - np.float32(cy)
    turn, ratio = scene.between(0, np.pi), 1 + scene.between(0, stretch)
    u = (np.cos(turn) * dx + np.sin(turn) * dy) * np.float32(np.sqrt(ratio))
    v = (-np.sin(turn) * dx + np.cos(turn) * dy) / np.float32(np.sqrt(ratio))
    angle = np.arctan2(v, u)
    border = np.ones_like(angle)
    for lobe in range(2, 8):
        height = rng.normal(0, irregular * 1.5 / np.sqrt(lobe))
        border += np.float32(height) * np.cos(lobe * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    border += np.float32(ragged) * scene.noise(10, octaves=2)
    reach = np.sqrt(u * u + v * v) / (mean * np.maximum(border, 0.25))
    inside = 1 - smooth_step(reach, 1 - edge, 1 + edge)
    return Outline(inside, reach.astype(np.float32), angle, (cx, cy), mean)
