import torch

from unrender.flows.precision import multiplies_bfloat16


def test_answers_for_every_device() -> None:
    assert multiplies_bfloat16(torch.device("cpu")) in {True, False}
    assert not multiplies_bfloat16(torch.device("meta"))
