"""Structures that dermoscopy names: network, globules, cysts, vessels, streaks, veil, hair."""

from __future__ import annotations

import numpy as np

from sgps.datasets._phantom_scene import Field, Ink, Outline, Scene, smooth_step


def network(scene: Scene, mesh: float, *, uneven: float = 0.25, line: float = 0.5) -> Field:
    """Lines of a honeycomb, 0 to 1.

    mesh: distance between holes in half image widths. uneven: how far the mesh is warped.
    line: width of the lines against the holes, 0 to 1.
    """
    warp = np.float32(uneven * mesh)
    u = scene.x + warp * (scene.noise(6) + 0.6 * scene.noise(14))
    v = scene.y + warp * (scene.noise(6) + 0.6 * scene.noise(14))
    turn = scene.between(0, np.pi)
    wave_number = np.float32(4 * np.pi / mesh / np.sqrt(3))
    waves = np.zeros_like(u)
    for third in range(3):
        direction = turn + third * np.pi / 3
        along = np.float32(np.cos(direction)) * u + np.float32(np.sin(direction)) * v
        waves += np.cos(wave_number * along + (np.pi if third == 1 else 0))
    return 1 - smooth_step(-waves, -1.3 + line, 0.3 + line)


def scatter(scene: Scene, shape: Outline, count: int, low: float, high: float) -> Field:
    """At most ``count`` positions (n, 2) between the reaches ``low`` and ``high``."""
    candidates = scene.rng.uniform(-1, 1, (count * 30, 2)).astype(np.float32)
    columns, rows = ((candidates.T + 1) / 2 * scene.size).astype(int).clip(0, scene.size - 1)
    reach = shape.reach[rows, columns]
    chosen: Field = candidates[(reach >= low) & (reach <= high)][:count]
    return chosen


def spots(
    scene: Scene,
    shape: Outline,
    count: int,
    radius: tuple[float, float],
    *,
    low: float = 0.0,
    high: float = 0.9,
    blur: float = 0.02,
) -> Field:
    """Scattered round spots (globules, cysts, plugs, dotted vessels), 0 to 1."""
    ink = scene.ink()
    for x, y in scatter(scene, shape, count, low, high):
        ink.disc(float(x), float(y), scene.between(*radius), scene.between(0.65, 1))
    return ink.mask(blur)


def cobbles(scene: Scene, shape: Outline, spacing: float, *, fill: float, high: float) -> Field:
    """Closely packed round areas with gaps between them, 0 to 1; ``fill`` widens them."""
    packed = 1 - network(scene, spacing, uneven=0.16, line=1.15 - fill)
    kept: Field = packed * (1 - smooth_step(shape.reach, high - 0.1, high + 0.06))
    return kept


def branching_vessels(scene: Scene, shape: Outline, trunks: int, *, width: float = 0.03) -> Field:
    """Tree-like vessels that enter from the rim and thin out, 0 to 1."""
    ink = scene.ink()
    for _ in range(trunks):
        side = scene.between(0, 2 * np.pi)
        far = shape.radius * scene.between(0.8, 1.05)
        start = np.array(shape.centre) + far * np.array((np.cos(side), np.sin(side)))
        heading = side + np.pi + float(scene.rng.normal(0, 0.5))
        _grow_branch(scene, ink, start, heading, width, shape.radius * scene.between(0.8, 1.3))
    return ink.mask(0.014)


def _grow_branch(
    scene: Scene, ink: Ink, start: Field, heading: float, width: float, length: float
) -> None:
    steps = 10
    headings = heading + np.cumsum(scene.rng.normal(0, 0.22, steps))
    moves = np.stack((np.cos(headings), np.sin(headings)), axis=1) * (length / steps)
    points = np.concatenate((start[None], start + np.cumsum(moves, axis=0)))
    ink.line(points[:6], width)
    ink.line(points[5:], width * 0.7, 0.85)
    if width < 0.012:
        return
    for _ in range(2):
        knot = int(scene.rng.integers(3, steps))
        side = float(scene.rng.choice((-1, 1))) * scene.between(0.5, 1.1)
        _grow_branch(scene, ink, points[knot], headings[knot - 1] + side, width * 0.55, length / 2)


def hairpin_vessels(scene: Scene, shape: Outline, count: int, *, low: float, high: float) -> Field:
    """Short looped vessels that point outwards, 0 to 1."""
    ink = scene.ink()
    for x, y in scatter(scene, shape, count, low, high):
        outwards = np.arctan2(y - shape.centre[1], x - shape.centre[0])
        turn = outwards + scene.rng.normal(0, 0.35)
        along = np.array((np.cos(turn), np.sin(turn)))
        across = np.array((-along[1], along[0]))
        length, half = scene.between(0.08, 0.14), scene.between(0.014, 0.022)
        bend = np.linspace(-1, 1, 9)[:, None]
        points = np.array((x, y)) + across * half * bend + along * length * (1 - bend**4)
        ink.line(points, 0.012)
    return ink.mask()


def coiled_vessels(scene: Scene, shape: Outline, count: int) -> Field:
    """Small tangles seen as clustered red coils, 0 to 1."""
    ink = scene.ink()
    turns = np.linspace(0, 4.2 * np.pi, 26)
    for x, y in scatter(scene, shape, count, 0.0, 0.9):
        size = scene.between(0.018, 0.034)
        angles = turns + scene.between(0, 2 * np.pi)
        spiral = np.stack((np.cos(angles), np.sin(angles)), axis=1) * (turns / turns[-1])[:, None]
        ink.line(np.array((x, y)) + size * spiral, 0.011)
    return ink.mask()


def streaks(scene: Scene, shape: Outline, count: int, *, regular: bool) -> Field:
    """Radial lines that leave the rim, 0 to 1; all around where ``regular``."""
    ink = scene.ink()
    angles = np.arange(count) * (2 * np.pi / count) + scene.rng.normal(0, 0.04, count)
    if not regular:
        angles = scene.between(0, 2 * np.pi) + scene.rng.normal(0, 0.6, count)
    border = _border_radius(scene, shape, angles)
    for angle, edge in zip(angles, border, strict=True):
        stem, tip = edge * scene.between(0.6, 0.75), edge * scene.between(0.95, 1.2)
        bend = scene.rng.normal(0, 0.04)
        reach = np.linspace(stem, tip, 5)
        turn = angle + bend * np.linspace(0, 1, 5)
        path = np.stack((np.cos(turn) * reach, np.sin(turn) * reach), axis=1)
        width = scene.between(0.022, 0.036)
        ink.line(path[:3] + np.array(shape.centre), width * 1.4, 0.95)
        ink.line(path[2:] + np.array(shape.centre), width, 0.85)
    return ink.mask(0.024)


def _border_radius(scene: Scene, shape: Outline, angles: Field) -> Field:
    """Distance from the centre at which a ray at each angle leaves the lesion."""
    distances = np.linspace(0.05, 1.3, 60)
    x = shape.centre[0] + np.cos(angles)[:, None] * distances
    y = shape.centre[1] + np.sin(angles)[:, None] * distances
    columns = ((x + 1) / 2 * scene.size).astype(int).clip(0, scene.size - 1)
    rows = ((y + 1) / 2 * scene.size).astype(int).clip(0, scene.size - 1)
    inside = shape.reach[rows, columns] < 1
    last = np.where(inside.any(axis=1), inside.cumsum(axis=1).argmax(axis=1), 20)
    border: Field = distances[last].astype(np.float32)
    return border


def patch(scene: Scene, shape: Outline, share: float, *, soft: float = 0.5) -> Field:
    """An area of irregular form that covers about ``share`` of the lesion, 0 to 1."""
    values = scene.noise(3, octaves=2) - np.float32(0.4) * shape.reach
    threshold = float(np.quantile(values[shape.reach < 1], 1 - share))
    return smooth_step(values, threshold - soft, threshold + soft) * shape.inside


def hairs(scene: Scene, count: int) -> None:
    """Cover the image with ``count`` dark hairs."""
    ink = scene.ink()
    for _ in range(count):
        side = scene.between(0, 2 * np.pi)
        offset = scene.rng.uniform(-0.9, 0.9)
        along = np.array((np.cos(side), np.sin(side)))
        across = np.array((-along[1], along[0]))
        reach = np.linspace(-1.5, scene.between(0.3, 1.5), 14)[:, None]
        points = along * reach + across * (offset + scene.rng.normal(0, 0.15) * reach**2)
        ink.line(points, scene.between(0.008, 0.016), scene.between(0.6, 0.95))
    scene.cover((0.13, 0.09, 0.07), 0.85 * ink.mask())
