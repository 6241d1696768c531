"""The method of docs/new_method.md works as it stands there."""

import re
from dataclasses import replace
from pathlib import Path

import torch
from inputs import ROOT

from unrender.data.dataset import Dataset
from unrender.data.images import ImageStore
from unrender.training.method import Progress

GUIDE = ROOT / "docs/new_method.md"


def test_the_guides_method_learns(small_scene: Dataset, tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    names: dict[str, object] = {"__name__": "guide"}
    exec(compile(source, str(GUIDE), "exec"), names)
    method = names["Sky"]()
    generator = torch.Generator().manual_seed(0)
    # It has no shape: of photographs in which all is the scene it can learn something.
    white = small_scene.train.over(torch.ones(3))
    train = replace(small_scene.train, store=ImageStore.of(white).with_opaque_alpha())
    model = method.build(train, generator)
    optimizer = method.optimizer(model)
    errors: list[float] = []
    for step in range(30):
        optimizer.zero_grad()
        loss = method.losses(model, train, Progress(step, 0.0), generator)["color"]
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.8 * errors[0]
    again = method.restore(model.state_dict())
    cameras = small_scene.test.cameras.resized(8, 8)
    assert torch.equal(method.render(again, cameras).rgba, method.render(model, cameras).rgba)
