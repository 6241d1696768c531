"""Other libraries on the same scene, if they can be imported; none is installed for this."""

import copy
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def nerfstudio(
    data: Path, device: str, budgets: Sequence[float], evaluate: bool = True
) -> dict[str, Any]:
    """Nerfacto of nerfstudio with its defaults, with plain torch instead of tiny-cuda-nn.

    One run is evaluated after each budget, in seconds: its learning rate hardly decays within
    minutes. Returns PSNR at each budget and rays per second, or the reason why it is absent.
    """
    try:
        from nerfstudio.configs.method_configs import method_configs  # noqa: PLC0415
        from nerfstudio.data.datamanagers.base_datamanager import (  # noqa: PLC0415
            VanillaDataManagerConfig,
        )
        from nerfstudio.data.dataparsers.blender_dataparser import (  # noqa: PLC0415
            BlenderDataParserConfig,
        )
        from nerfstudio.engine.callbacks import TrainingCallbackLocation  # noqa: PLC0415
    except ImportError as error:
        return {"absent": f"cannot be imported: {error}"}
    with tempfile.TemporaryDirectory() as folder:
        config = copy.deepcopy(method_configs["nerfacto"])
        config.output_dir, config.vis = Path(folder), "tensorboard"
        config.machine.device_type = device
        config.pipeline.datamanager = VanillaDataManagerConfig(
            dataparser=BlenderDataParserConfig(data=data), train_num_rays_per_batch=4096
        )
        config.pipeline.model.implementation = "torch"
        config.pipeline.model.camera_optimizer.mode = "off"
        config.set_timestamp()
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup(test_mode="test")
        points: list[dict[str, float]] = []
        step, seconds = 0, 0.0
        for budget in sorted(budgets):
            while seconds < budget:
                began = time.perf_counter()
                trainer.pipeline.train()
                for location in TrainingCallbackLocation:
                    if location is TrainingCallbackLocation.AFTER_TRAIN_ITERATION:
                        loss, *_ = trainer.train_iteration(step)
                        assert math.isfinite(float(loss)), "nerfacto's loss is not finite"
                    if location is not TrainingCallbackLocation.AFTER_TRAIN:
                        for callback in trainer.callbacks:
                            callback.run_callback_at_location(step, location=location)
                seconds += time.perf_counter() - began
                step += 1
            if evaluate:
                found = trainer.pipeline.get_average_eval_image_metrics()
                point = {"budget_seconds": budget, "seconds": seconds, "steps": step}
                points.append({**point, "psnr": float(found["psnr"])})
    return {
        "views": "nerfacto, plain torch, its own test views",
        "points": points,
        "rays_per_second": 4096 * step / seconds,
    }
