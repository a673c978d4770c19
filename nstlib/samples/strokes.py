"""Paintings out of random numbers: short brush strokes along a flow field, in the colours of a palette."""

import numpy as np
from PIL import Image, ImageDraw

PALETTES = {
    "swirls": ("#0b1d51", "#16407a", "#2f74b5", "#7fb6d6", "#e8d98a", "#f2b632", "#f7efd2"),
    "embers": ("#1c0f13", "#5e1224", "#a3262a", "#d9542b", "#f0a03c", "#f7dc9a", "#3b5a6b"),
    "meadow": ("#173f2b", "#3f7d3a", "#8fb84e", "#dfe07a", "#c95d8a", "#f0e9d2", "#4f8fb0"),
}


def brush_strokes(name, size, seed):
    """A square painting, as a PIL image.

    Args:
        name: of the palette.
        size: side in pixels.
        seed: of the random numbers; each seed gives another painting.
    """
    random = np.random.default_rng(seed)
    palette = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in PALETTES[name]])
    angle, tone = _flow(random)
    canvas = Image.new("RGB", (size, size), tuple(palette[0]))
    pen = ImageDraw.Draw(canvas)
    for broad in (22, 14, 9, 5):  # broad strokes first, details on top
        width = broad * size / 512
        hairs = max(3, round(width / 2.2))
        strokes = [
            (random.random(2), random.normal(0, 0.06), random.uniform(0.85, 1.12), random.normal(0, 12, hairs))
            for _ in range(int(330 * 22 / broad))
        ]
        places, tones, lights, tints = map(np.array, zip(*strokes, strict=True))
        x, y = places.T * 1.1 - 0.05
        shades = np.clip(tone(x, y) + tones, 0, 0.999)
        colours = palette[(shades * len(palette)).astype(int)] * lights[:, None]
        colours = np.clip(colours[:, None] + tints[..., None], 0, 255).astype(int)  # (strokes, hairs, 3)
        for lines, inks in zip(_hairs(x * size, y * size, width, hairs, angle, size), colours, strict=True):
            for line, ink in zip(lines.tolist(), inks.tolist(), strict=True):
                pen.line(line, fill=tuple(ink), width=max(1, round(width / hairs * 1.6)), joint="curve")
    return canvas


def _flow(random):
    """Direction of the strokes and tone of the picture, as functions of arrays of x and y in [0, 1]."""
    centres = random.random((5, 2))
    turns = random.choice([-1, 1], 5) * random.uniform(0.6, 1.4, 5)
    waves = random.uniform(2, 5, (3, 2)) * random.choice([-1, 1], (3, 2))
    phases = random.uniform(0, 2 * np.pi, 3)

    def offsets(x, y):
        return x[:, None] - centres[:, 0], y[:, None] - centres[:, 1]

    def angle(x, y):
        dx, dy = offsets(x, y)
        pull = turns / (0.02 + dx**2 + dy**2)
        return np.arctan2((dx * pull).sum(1) + 2, (-dy * pull).sum(1) + 3)

    def tone(x, y):
        dx, dy = offsets(x, y)
        near = np.sqrt((dx**2 + dy**2).min(1))
        ripple = np.sin(np.stack([x, y], 1) @ waves.T * 2 + phases).mean(1)
        return 0.75 - 1.5 * near + 0.25 * ripple

    return angle, tone


def _hairs(x, y, width, hairs, angle, size):
    """Strokes along the flow that begin at x and y: parallel lines, shape (strokes, hairs, 2 * points)."""
    points, path = 12, []
    for _ in range(points):
        path.append((x, y))
        direction = angle(x / size, y / size)
        step = 8 * width / points
        x, y = x + np.cos(direction) * step, y + np.sin(direction) * step
    normal = angle(x / size, y / size) + np.pi / 2
    across = (np.arange(hairs) / (hairs - 1) - 0.5) * width
    across = np.stack([np.cos(normal), np.sin(normal)], 1)[:, None] * across[:, None]  # (strokes, hairs, 2)
    path = np.array(path).transpose(2, 0, 1)  # (strokes, points, 2)
    return (path[:, None] + across[:, :, None]).reshape(len(path), hairs, -1)
