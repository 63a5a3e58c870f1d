"""Limits torch to one CPU thread in these tests: their networks are tiny, and on a busy machine
threads that wait for each other take ten times as long."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
