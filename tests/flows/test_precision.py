import pytest
import torch

from unrender.flows.precision import Precision, autocast, multiplies_bfloat16


def test_answers_for_every_device() -> None:
    assert multiplies_bfloat16(torch.device("cpu")) in {True, False}
    assert not multiplies_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("precision", ["auto", "bfloat16", "float32"])
def test_products_have_the_chosen_precision(precision: Precision) -> None:
    device = torch.device("cpu")
    with autocast(precision, device):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    short = precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device))
    assert product.dtype == (torch.bfloat16 if short else torch.float32)
