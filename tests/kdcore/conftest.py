"""One CPU thread for torch in these tests: their networks are tiny, and threads that wait for each
other on a busy machine take ten times as long."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
