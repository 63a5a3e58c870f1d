"""Avoids a faulty CPU kernel for strided 1x1 convolutions with few channels.

oneDNN 3.12 (torch 2.13) writes past a buffer when it computes the weights' gradient of a 1x1
convolution with a stride and fewer input channels than its block (8 with AVX2, 16 with AVX-512) in
the channels-last layout: a crash, or silently wrong gradients (oneDNN issue 6035). Dropping the
pixels that the stride skips before a plain 1x1 convolution, whose kernel is correct, is equivalent.
"""

from torch import Tensor, nn
from torch.nn import functional

BLOCK = 16  # the widest block of any CPU


class StridedPointwise(nn.Conv2d):
    """A strided 1x1 convolution that drops the skipped pixels first: same parameters and result."""

    def forward(self, input: Tensor) -> Tensor:
        row_step, column_step = self.stride
        kept_BCHW = input[:, :, ::row_step, ::column_step]
        return functional.conv2d(kept_BCHW, self.weight, self.bias, groups=self.groups)


def is_affected(module: nn.Module) -> bool:
    """Whether training this layer could run into the fault."""
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.padding in ((0, 0), "valid")
        and module.in_channels // module.groups < BLOCK
    )


def replace_affected(network: nn.Module) -> None:
    """Replace each affected layer by a `StridedPointwise` with the same parameters."""
    for path, conv in list(network.named_modules()):
        if is_affected(conv):
            assert isinstance(conv, nn.Conv2d)
            safe = StridedPointwise(
                conv.in_channels,
                conv.out_channels,
                1,
                (conv.stride[0], conv.stride[1]),
                groups=conv.groups,
                bias=conv.bias is not None,
                device="meta",
            )
            safe.weight, safe.bias = conv.weight, conv.bias
            network.set_submodule(path, safe)
