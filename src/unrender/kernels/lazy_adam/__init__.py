"""One step of Adam that leaves entries without gradient as they are.

Kingma and Ba, "Adam" (2014), alg. 1, for tables of which a step reads few rows: the others
keep their values and their moments, as in the sparse RMSProp of Yu et al., "Plenoxels" (2022).
"""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


def lazy_adam(
    table: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*shape"],
    square: Float[Tensor, "*shape"],
    rate: float,
    betas: tuple[float, float],
    count: int,
    eps: float,
    backend: Backend = "auto",
) -> None:
    """Update the table and both moments in place, where the gradient is not 0.

    `mean` and `square` are the moving averages of the gradient and of its square, with the
    factors `betas`, and `count` the number of steps, with this one, that corrects their bias.
    All four tensors must be contiguous.
    """
    tensors = (table, gradient, mean, square)
    assert all(each.is_contiguous() for each in tensors), "tables must be contiguous"
    first, second = betas
    # m / (1 − β1ᵗ) / (√(v / (1 − β2ᵗ)) + ε)
    rate, root = rate / (1 - first**count), (1 - second**count) ** 0.5
    implementation(__name__, backend, table).lazy_adam(*tensors, rate, betas, root, eps)
