"""How digits are turned and mirrored."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def square_symmetries(size: int) -> np.ndarray:
    """Return the symmetries of the square as index arrays, int64 (8, size²).

    ``moved = image[..., indices[q]]``: rows q = 0 to 3 turn a flat image by 90 q°, in the direction
    of `numpy.rot90`; rows 4 to 7 exchange left and right first, and then turn by 90 (q - 4)°.
    """
    pixels = np.arange(size * size).reshape(size, size)
    turned = [np.rot90(pixels, turns).ravel() for turns in range(4)]
    mirrored = [np.rot90(pixels[:, ::-1], turns).ravel() for turns in range(4)]
    return np.stack(turned + mirrored)


def moved(images: Tensor, elements: int | Tensor) -> Tensor:
    """Flat square images (count, pixels), each moved by its row of `square_symmetries`, (count,).

    Or all by the same.
    """
    indices = torch.from_numpy(square_symmetries(round(images.shape[1] ** 0.5)))
    return images.gather(1, indices[torch.as_tensor(elements).expand(len(images))])


def random_turns(count: int, seed: int) -> Tensor:
    """One, two or three quarter turns for each image, drawn with a fixed seed."""
    return torch.randint(1, 4, (count,), generator=torch.Generator().manual_seed(seed))


def random_mirrors(count: int, seed: int) -> Tensor:
    """One of the four mirrors of the square for each image, drawn with a fixed seed."""
    return torch.randint(4, 8, (count,), generator=torch.Generator().manual_seed(seed))
