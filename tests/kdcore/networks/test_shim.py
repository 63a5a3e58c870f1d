"""torchvision imports whether or not its compiled operators fit this torch."""

import subprocess
import sys

import pytest

from kdcore.networks import shim

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def test_torchvision_loads_after_it_in_a_fresh_interpreter() -> None:
    run("import kdcore.networks.shim, torchvision.models; torchvision.models.resnet18")


@pytest.mark.skipif(shim.operators_load(), reason="the compiled ones load: no others can be there")
def test_operators_that_are_there_already_are_left_alone() -> None:
    declare = "".join(
        f"torch.library.define('torchvision::{n}', '{SCHEMA}');" for n in shim.SCHEMAS
    )
    run(f"import torch; {declare} from kdcore.networks import shim; shim.declare_operators()")


def test_a_second_call_declares_nothing() -> None:
    shim.declare_operators()
    assert shim.declare_operators() == ()
