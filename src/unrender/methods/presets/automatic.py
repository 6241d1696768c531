"""The preset that suits posed images: what `auto` stands for.

The choice is a function of facts about the data. It follows the measurements in
docs/captures.md and docs/radiance_fields.md, on two CPU cores: after 4 to 10 minutes,
instant-ngp-fast is the best on objects without background (lego, scan65),
gaussian-splatting-fast on a capture all around something (mouse), and instant-ngp-capture on a
forward-facing one (fern).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unrender.errors import InputError

if TYPE_CHECKING:
    from unrender.data.capture import Capture

AUTO = "auto"
"""The name by which the choice is asked for."""
FEWEST = 4
"""Views below which no scene is reconstructed."""
FEW = 15
"""Views below which new views are poor."""


@dataclass(frozen=True)
class Choice:
    """A preset, and why it was chosen."""

    preset: str
    reason: str
    """What follows "because"."""
    advice: str = ""
    """What would make the data better, if anything."""


def choose_preset(capture: "Capture") -> Choice:
    """The preset for these data. InputError where no method can reconstruct a scene.

    Number and sizes of the images do not change the choice; few views are remarked on.
    """
    if capture.views < FEWEST:
        images = "1 image" if capture.views == 1 else f"{capture.views} images"
        raise InputError(
            f"{images}: too few to reconstruct a scene: take 20 or more, each overlapping the "
            "next by two thirds, or name a METHOD to fit it all the same"
        )
    if capture.one_place:
        raise InputError(
            "all cameras stand in one place, from where depth cannot be told: walk around what "
            "you photograph, or name a METHOD to fit it all the same"
        )
    remarks: list[str] = []
    if capture.views < FEW:
        remarks.append(
            f"only {capture.views} training images: new views far from them will be poor"
        )
    if capture.flat:
        remarks.append(
            "what was photographed is flat, as a wall: cameras and depths are uncertain; show "
            "something in front of it"
        )
    if capture.filmed:
        remarks.append("the views are a film: if the scene moves, fit nerfies-capture")
    advice = "; ".join(remarks)
    if capture.moving:
        kind = "with its background" if not capture.cut_out else "without background"
        return Choice(
            "nerfies-fast" if capture.cut_out else "nerfies-capture",
            f"the views show several moments of a scene that moves, {kind}",
            advice,
        )
    if capture.cut_out:
        return Choice(
            "instant-ngp-fast", "the images show an object without background", advice
        )
    if capture.one_way:
        reason = "the photographs look one way, with their background (forward-facing)"
        return Choice("instant-ngp-capture", reason, advice)
    arc = "all" if capture.arc_deg >= 360 else f"{capture.arc_deg:.0f}°"
    reason = f"the photographs were taken from {arc} around something, with its background"
    return Choice("gaussian-splatting-fast", reason, advice)
