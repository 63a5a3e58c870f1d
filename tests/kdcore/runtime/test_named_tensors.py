"""Names under a prefix, and copies that safetensors can write."""

import safetensors.torch
import torch

from kdcore.runtime.named_tensors import copy_to_cpu, under, within


def test_what_is_put_under_a_prefix_is_found_within_it() -> None:
    tensors = {"conv/weight": torch.zeros(1), "bias": torch.ones(1)}
    named = under("student", tensors) | under("student.best", {"bias": torch.zeros(1)})
    assert set(named) == {"student/conv/weight", "student/bias", "student.best/bias"}
    found = within("student", named)
    assert found.keys() == tensors.keys() and all(found[k] is v for k, v in tensors.items())
    assert within("stud", named) == {}


def test_copies_are_contiguous_and_independent() -> None:
    images = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    shared = torch.arange(6.0).view(2, 3)
    copies = copy_to_cpu({"images": images, "rows": shared, "columns": shared.t()})
    assert all(c.is_contiguous() and not c.requires_grad for c in copies.values())
    assert torch.equal(copies["images"], images) and torch.equal(copies["columns"], shared.t())
    with torch.no_grad():
        shared.zero_()
    assert copies["rows"].sum() == 15
    loaded = safetensors.torch.load(safetensors.torch.save(copies))
    assert all(torch.equal(loaded[k], v) for k, v in copies.items())
