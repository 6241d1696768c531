"""What a demo cannot do well on its scene, in sentences."""

from unrender.api.run import Run
from unrender.app.demo_plan import has_one_square_lens
from unrender.report.demo import Outcome

FEW_TEST_VIEWS = 8
"""Held-out views below which figures are rough."""
POOR = 20.0
"""PSNR in dB of the fitted scene below which what follows cannot be good."""


def notes_of(outcome: Outcome, scene_run: Run, lower: bool) -> tuple[str, ...]:
    """Sentences for the report; none where all is well.

    `lower`: whether the flow's views were rendered with fewer rays, or are fewer, to save time.
    """
    scene, views = outcome.scene, outcome.mean_start.views
    cameras = scene.train.cameras
    size = views.cameras.width
    notes: list[str] = []
    factor = 1 if scene.options is None else scene.options.downscale
    if factor > 1:
        notes.append(f"The photographs were downscaled by {factor}, to fit the time.")
    if not has_one_square_lens(scene):
        notes.append(
            f"The flow generates and reads square images: it sees the central squares of the "
            f"{cameras.sizes} photographs."
        )
    if scene_run.opaque:
        notes.append(
            "The photographs show their background too, which the flow has to learn as part of "
            f"the scene, at {size}×{size} pixels."
        )
    if lower:
        notes.append(
            f"{scene_run.preset} renders slowly: the flow had {outcome.flow_views} views to "
            "learn from, with fewer rays a pixel, so that the time holds."
        )
    if len(scene.test) < FEW_TEST_VIEWS:
        notes.append(
            f"There are only {len(scene.test)} held-out views, so that the figures are rough: "
            "give more photographs."
        )
    fitted, mean = outcome.fitted.scores.mean_psnr, outcome.mean_start.scores.mean_psnr
    if fitted < POOR:
        notes.append(
            f"The fitted scene itself reaches {fitted:.1f} dB only, and the flow learns from "
            "its renders: give more --minutes, or more photographs."
        )
    nearest = outcome.details.get("nearest_view_psnr")
    if nearest is not None and nearest > mean:
        notes.append(
            f"The flow's images ({mean:.1f} dB) are worse than looking up the rendered view "
            f"with the nearest pose ({nearest:.1f} dB): give more --minutes."
        )
    flow, refined = (
        scores.rotation_deg_median for scores in (outcome.flow_scores, outcome.refined_scores)
    )
    if refined > flow:
        notes.append(
            f"Refinement on the fitted scene made the poses worse ({flow:.2f}° → "
            f"{refined:.2f}° in the median): its renders differ too much from the photographs."
        )
    return tuple(notes)
