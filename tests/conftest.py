"""What all tests share: one thread, on which tiny networks are fastest and repeat exactly, and a fixed seed."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
