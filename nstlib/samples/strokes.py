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
    scale = size / 512
    angle, tone = _flow(random)
    canvas = Image.new("RGB", (size, size), tuple(palette[0]))
    pen = ImageDraw.Draw(canvas)
    for width in (22, 14, 9, 5):  # broad strokes first, details on top
        for _ in range(int(330 * 22 / width)):
            x, y = random.random(2) * 1.1 - 0.05
            shade = np.clip(tone(x, y) + random.normal(0, 0.06), 0, 0.999)
            colour = palette[int(shade * len(palette))] * random.uniform(0.85, 1.12)
            _stroke(pen, x * size, y * size, width * scale, 8 * width * scale, angle, colour, random, size)
    return canvas


def _flow(random):
    """Direction of the strokes and tone of the picture, as functions of x and y in [0, 1]."""
    centres = random.random((5, 2))
    turns = random.choice([-1, 1], 5) * random.uniform(0.6, 1.4, 5)
    waves = random.uniform(2, 5, (3, 2)) * random.choice([-1, 1], (3, 2))
    phases = random.uniform(0, 2 * np.pi, 3)

    def angle(x, y):
        dx, dy = x - centres[:, 0], y - centres[:, 1]
        pull = turns / (0.02 + dx**2 + dy**2)
        return np.arctan2((dx * pull).sum() + 2, (-dy * pull).sum() + 3)

    def tone(x, y):
        near = np.sqrt(((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2).min())
        ripple = np.sin(waves @ (x, y) * 2 + phases).mean()
        return 0.75 - 1.5 * near + 0.25 * ripple

    return angle, tone


def _stroke(pen, x, y, width, length, angle, colour, random, size):
    """A brush stroke along the flow: parallel hairs of slightly different colour."""
    steps = 12
    path = []
    for _ in range(steps):
        path.append((x, y))
        direction = angle(x / size, y / size)
        x, y = x + np.cos(direction) * length / steps, y + np.sin(direction) * length / steps
    normal = angle(x / size, y / size) + np.pi / 2
    hairs = max(3, round(width / 2.2))
    for hair in range(hairs):
        offset = (hair / (hairs - 1) - 0.5) * width
        line = [(px + np.cos(normal) * offset, py + np.sin(normal) * offset) for px, py in path]
        tint = np.clip(colour + random.normal(0, 12), 0, 255).astype(int)
        pen.line(line, fill=tuple(int(c) for c in tint), width=max(1, round(width / hairs * 1.6)), joint="curve")
