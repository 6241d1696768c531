"""Pose estimation with a flow: the cameras whose generated images match the image.

First, the candidates give a coarse posterior over all poses. Then its modes, and the pose
obtained by integrating the flow backwards from the image, are refined by energy minimization.
"""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.flows.averaged import IMAGES_AT_ONCE
from unrender.flows.calibration import AS_SPREAD, fitted_lines, on_lines
from unrender.flows.candidates import MIN_SHARE, MODE_ANGLE, Candidates
from unrender.flows.energy import Prior, Residuals, find_mode, fit_temperature
from unrender.flows.lifting import PoseReading
from unrender.flows.pose_flow import Ends, PoseFlow
from unrender.flows.solvers import Solver, integrate
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance
from unrender.inverse.photometric_poses import errors_of_twists
from unrender.rendering.renderer import PoseEstimate, PoseModes


@dataclass(frozen=True)
class PoseSearch:
    """Settings of the pose search."""

    steps: int
    """Gauss-Newton steps for each mode."""
    modes: int
    """Number of modes searched among the candidates; 0 refines the reading only."""
    image_steps: int
    """Integration steps of the flow from a pose to its image."""
    solver: Solver

    @torch.no_grad()
    def estimate(self, model: PoseFlow, x1: Ends, reading: PoseReading) -> PoseEstimate:
        """The poses whose generated images match these best, with expected errors."""
        starts, prior = self._starts(model, x1, reading)
        poses = starts.world_from_camera.clone()
        image, mode = (starts.share > 0).nonzero(as_tuple=True)
        temperature, radius = float(model.temperature), float(model.radius)
        tops = [
            find_mode(
                self._residuals(model, x1[image[part]]),
                poses[image[part], mode[part]],
                prior.select(image[part], mode[part]),
                temperature,
                self.steps,
                radius,
            )
            for part in torch.arange(len(image)).split(IMAGES_AT_ONCE)
        ]
        poses[image, mode] = torch.cat([top.world_from_camera for top in tops])
        best = mode == 0
        precision = torch.cat([top.precision for top in tops])[best].double()
        square = torch.cat([top.square for top in tops])[best]
        axes, center = errors_of_twists(torch.linalg.inv(precision), poses[:, 0])
        spread = axes.norm(dim=1)
        rotation, translation = on_lines(model.mode_calibration, (spread, center))
        return PoseEstimate(
            model.cameras(poses[:, 0]),
            axes * (rotation / spread)[:, None],
            translation,
            square / _codes(model, x1[:1]).numel(),
            PoseModes(poses, starts.share),
        )

    @torch.no_grad()
    def calibrate(
        self, model: PoseFlow, x1: Ends, reading: PoseReading, truth: Cameras
    ) -> None:
        """Fit the temperatures, then the expected errors of `estimate`, on held-out views."""
        true, radius = truth.world_from_camera, float(model.radius)
        model.candidates.clear()
        if self.modes:
            target = _codes(model, x1)
            candidates = self.candidates(model)
            model.candidate_temperature.fill_(candidates.fit_temperature(target, true))
        model.mode_calibration.copy_(AS_SPREAD)
        _, priors = dataclasses.replace(self, modes=0)._starts(model, x1, reading)
        prior = priors.select(torch.arange(len(x1)), torch.zeros(len(x1)).long())
        residuals = self._residuals(model, x1)
        # Once at the readings, and again at the modes that result.
        near = reading.world_from_camera
        model.temperature.fill_(fit_temperature(residuals, near, prior, true, radius))
        near = self.estimate(model, x1, reading).cameras.world_from_camera
        model.temperature.fill_(fit_temperature(residuals, near, prior, true, radius))
        found = self.estimate(model, x1, reading)
        spread = found.rotation_error, found.translation_error
        poses = found.cameras.world_from_camera
        model.mode_calibration.copy_(fitted_lines(spread, poses, truth))

    def _starts(
        self, model: PoseFlow, x1: Ends, reading: PoseReading
    ) -> tuple[PoseModes, "_Priors"]:
        """Starting poses of each mode, the most probable first: the reading, and candidates."""
        read = reading.world_from_camera[:, None]
        expected = model.expect(reading)
        # The expected error of a reading is divided equally among the three axes.
        widths = [
            error.clamp_min(1e-6)[:, None] / 3**0.5
            for error in (expected.rotation_error, expected.translation_error)
        ]
        if not self.modes:
            return PoseModes(read, read.new_ones(len(read), 1)), _Priors(read, *widths)
        candidates = self.candidates(model)
        target = _codes(model, x1)
        posterior = candidates.posterior(target, float(model.candidate_temperature))
        chosen, share = candidates.modes(posterior, self.modes)
        poses = candidates.world_from_camera[chosen]
        # The reading is more accurate than candidates and replaces that of its own mode.
        same = so3_distance(read[..., :3], poses[..., :3]) < MODE_ANGLE
        share = torch.where(same | (share < MIN_SHARE), 0.0, share)
        poses = torch.cat([read, poses], dim=1)
        share = torch.cat([1 - share.sum(1, keepdim=True), share], dim=1)
        order = share.argsort(dim=1, descending=True)
        share = share.gather(1, order)
        share = torch.where(share < MIN_SHARE, 0.0, share)
        poses = poses.gather(1, order[..., None, None].expand_as(poses))
        # The prior of a candidate is as wide as a mode.
        scales = MODE_ANGLE, MODE_ANGLE * float(model.radius)
        rotation, translation = (
            torch.where(order == 0, width, scale)
            for width, scale in zip(widths, scales, strict=True)
        )
        modes = PoseModes(poses, share / share.sum(1, keepdim=True))
        return modes, _Priors(poses, rotation, translation)

    @torch.no_grad()
    def nearest_candidates(self, model: PoseFlow, x1: Ends) -> Float[Tensor, "images 3 4"]:
        """The candidates whose generated images are nearest."""
        candidates = self.candidates(model)
        posterior = candidates.posterior(_codes(model, x1), float(model.candidate_temperature))
        return candidates.world_from_camera[posterior.argmax(1)]

    def candidates(self, model: PoseFlow) -> Candidates:
        """The candidates with their generated images, which are cached in the model."""
        key = self.image_steps, self.solver
        if key not in model.candidates:
            cameras = model.cameras(model.candidate_poses)
            parts = [
                self._images(model, cameras.select(part))
                for part in torch.arange(len(cameras)).split(IMAGES_AT_ONCE)
            ]
            model.candidates[key] = Candidates(model.candidate_poses, torch.cat(parts))
        return model.candidates[key]

    def _images(self, model: PoseFlow, cameras: Cameras) -> Float[Tensor, "cameras numbers"]:
        source = model.lift(cameras)
        made = integrate(model.average, source, 0.0, 1.0, self.image_steps, self.solver)
        return _codes(model, made)

    def _residuals(self, model: PoseFlow, x1: Ends) -> Residuals:
        """Generated images of poses minus the given images."""
        target = _codes(model, x1)

        def residuals(pose: Float[Tensor, "images 3 4"]) -> Float[Tensor, "images numbers"]:
            return self._images(model, model.cameras(pose)) - target

        return residuals


def _codes(model: PoseFlow, x1: Ends) -> Float[Tensor, "images numbers"]:
    """The flattened image, without the channels that only the source has."""
    return x1[:, : model.space.channels].flatten(1)


@dataclass(frozen=True)
class _Priors:
    """A prior for each mode of each image."""

    world_from_camera: Float[Tensor, "images modes 3 4"]
    rotation: Float[Tensor, "images modes"]
    translation: Float[Tensor, "images modes"]

    def select(self, image: Int[Tensor, "chosen"], mode: Int[Tensor, "chosen"]) -> Prior:
        return Prior(
            self.world_from_camera[image, mode],
            self.rotation[image, mode],
            self.translation[image, mode],
        )
