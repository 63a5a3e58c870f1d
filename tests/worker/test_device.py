"""Slots: one per visible GPU, or one on the CPU."""

import pytest

from distillery.worker.device import DeviceSlot, DeviceSlots, find_gpus, make_slots


@pytest.mark.parametrize(
    ("visible", "gpus"), [("", []), ("-1", []), ("0,2", ["0", "2"]), (" GPU-a ,1", ["GPU-a", "1"])]
)
def test_cuda_visible_devices_is_respected(visible: str, gpus: list[str]) -> None:
    assert find_gpus(visible) == gpus


def test_each_gpu_has_a_slot_and_each_run_sees_its_own() -> None:
    slots = make_slots(["GPU-a", "GPU-b"], None, 2)
    assert [slot.environment() for slot in slots] == [
        {"CUDA_VISIBLE_DEVICES": "GPU-a"},
        {"CUDA_VISIBLE_DEVICES": "GPU-b"},
    ]
    assert {slot.device for slot in slots} == {"cuda"}


def test_without_a_gpu_slots_share_the_cpus() -> None:
    [alone] = make_slots([], None, None)
    assert alone.device == "cpu"
    assert alone.environment() == {"CUDA_VISIBLE_DEVICES": ""}
    assert [slot.threads for slot in make_slots([], 1000, None)] == [1] * 1000


def test_a_slot_is_acquired_once() -> None:
    slots = DeviceSlots([DeviceSlot(None, 1)])
    slot = slots.acquire()
    assert slot is not None
    assert slots.acquire() is None
    slots.release(slot)
    assert slots.free == slots.count == 1
