"""Transformer blocks and averages by attention."""

import torch

from unrender.fields.attention import AttentionPooling, TransformerBlock


def test_a_block_does_not_know_the_order_of_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    block = TransformerBlock(8, 2, 16, generator)
    x = torch.randn(3, 5, 8, generator=generator)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order], atol=1e-5, rtol=1e-5)


def test_a_token_that_is_left_out_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    block, pool = TransformerBlock(8, 2, 16, generator), AttentionPooling(8, generator)
    x = torch.randn(3, 5, 8, generator=generator)
    block.requires_grad_(False)
    pool.requires_grad_(False)
    bias = torch.zeros(3, 5)
    bias[:, 2] = -1e4
    other = x.clone()
    other[:, 2] = torch.randn(3, 8, generator=generator)
    kept = [0, 1, 3, 4]
    torch.testing.assert_close(block(x, bias)[:, kept], block(other, bias)[:, kept])
    torch.testing.assert_close(block(x, bias)[:, kept], block(x[:, kept]), atol=1e-5, rtol=1e-5)
    # Without the bias it would.
    assert float((block(x)[:, kept] - block(other)[:, kept]).abs().max()) > 1e-3
    weights = pool(x, bias)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert float(weights[:, 2].max()) == 0
