"""What workers of a loader import, besides what their networks are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Encoded(Dataset):
    """Images as a network sees them: the network goes to the workers with the data."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.network, self.images = network, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            return self.network(self.images[index])
