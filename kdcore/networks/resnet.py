"""ResNets for small images (He et al. 2015, section 4.2): 6n+2 layers in three stages.

If the shape changes, the shortcut is a 1x1 convolution with batch norm (the paper's option B), as
in the networks whose parameter counts the distillation literature reports.
"""

# B batch, C channels, H height, W width, K classes

from torch import Tensor, nn

from kdcore.networks.layers import Classifier, conv1x1, conv3x3, initialise
from kdcore.spec.architectures import scaled


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the ReLU `relu2` is applied to their sum."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = self.relu1(self.bn1(self.conv1(x_BCHW)))
        y_BCHW = self.bn2(self.conv2(y_BCHW)) + self.shortcut(x_BCHW)
        out_BCHW: Tensor = self.relu2(y_BCHW)
        return out_BCHW


class ResNet(nn.Sequential):
    """`stem`, `stage1` to `stage3` (the last two halve the map), `head`; logits_BK."""

    def __init__(
        self,
        depth: int,
        channels: tuple[int, int, int, int],
        input_channels: int,
        num_classes: int,
        width: float,
    ):
        super().__init__()
        assert (depth - 2) % 6 == 0, depth
        blocks = (depth - 2) // 6
        stem, *stages = (scaled(c, width) for c in channels)
        self.add_module(
            "stem",
            nn.Sequential(conv3x3(input_channels, stem), nn.BatchNorm2d(stem), nn.ReLU()),
        )
        inputs = stem
        for number, outputs in enumerate(stages, start=1):
            first = BasicBlock(inputs, outputs, stride=1 if number == 1 else 2)
            rest = [BasicBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)]
            self.add_module(f"stage{number}", nn.Sequential(first, *rest))
            inputs = outputs
        self.add_module("head", Classifier(inputs, num_classes))
        initialise(self)
