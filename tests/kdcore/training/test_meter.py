"""Means between reports, and a pace that fits the last seconds."""

import pytest
import torch

from kdcore.objectives.objectives import Loss
from kdcore.training.meter import WINDOW_S, Meter, Pace


def test_meter_gives_means_since_the_last_take() -> None:
    meter = Meter()
    for value in (1.0, 3.0):
        meter.add(Loss(torch.tensor(2 * value), {"kd": torch.tensor(value)}))
    assert meter.take() == {"loss": 4.0, "loss/kd": 2.0}
    meter.add(Loss(torch.tensor(5.0), {"kd": torch.tensor(7.0)}))
    assert meter.take() == {"loss": 5.0, "loss/kd": 7.0}


def test_pace_is_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("kdcore.training.meter.time.monotonic", lambda: now_s)
    pace = Pace(steps=100, batch_size=8)
    assert pace.at(0) == (0.0, None, None)
    now_s = 1.0
    assert pace.at(10) == (0.1, 80.0, 9.0)
    for step in (11, 12):
        now_s += WINDOW_S
        pace.at(step)
    now_s += 1.0
    fraction, images_per_s, eta_s = pace.at(42)
    assert fraction == 0.42 and images_per_s == 8 * 31 / (WINDOW_S + 1)
    assert eta_s == pytest.approx(58 / 31 * (WINDOW_S + 1))
