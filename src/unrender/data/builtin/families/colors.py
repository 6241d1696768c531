"""Random colors of woods, metals and paints, all darker than a white background."""

import colorsys

import numpy as np

from unrender.data.builtin.families.solids import Color


def any_color(random: np.random.Generator) -> Color:
    """A random color of wood, metal (gray) or paint."""
    kind = random.random()
    if kind < 0.35:
        hue, strength = random.uniform(0.04, 0.1), random.uniform(0.3, 0.75)
    elif kind < 0.6:
        hue, strength = 0.0, 0.0
    else:
        hue, strength = random.uniform(0, 1), random.uniform(0.3, 0.9)
    red, green, blue = colorsys.hsv_to_rgb(hue, strength, random.uniform(0.25, 0.85))
    return red, green, blue


def two_colors(random: np.random.Generator) -> tuple[Color, Color]:
    """Two random colors, which are equal with probability 0.3."""
    first = any_color(random)
    return first, first if random.random() < 0.3 else any_color(random)
