"""MobileNetV2 (Sandler et al. 2018) for 32x32 images: the map is halved once less.

The distillation literature uses half the paper's width, which is the default width here.
"""

# B batch, C channels, H height, W width, K classes

from torch import Tensor, nn

from kdcore.networks.layers import Classifier, conv1x1, conv3x3, initialise
from kdcore.spec.architectures import scaled

# expansion, channels, blocks, stride of the first block (the paper's table 2, but 24 channels have
# stride 1 instead of 2)
PLAN = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST_CHANNELS = 1280


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 linear projection; a shortcut if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        inner = inputs * expansion
        self.expand = conv1x1(inputs, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU6()
        self.depthwise = conv3x3(inner, inner, stride, groups=inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU6()
        self.project = conv1x1(inner, outputs)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = self.relu1(self.bn1(self.expand(x_BCHW)))
        y_BCHW = self.relu2(self.bn2(self.depthwise(y_BCHW)))
        out_BCHW: Tensor = self.bn3(self.project(y_BCHW))
        return x_BCHW + out_BCHW if self.residual else out_BCHW


class MobileNetV2(nn.Sequential):
    """`stem` (stride 2), `stage1` to `stage7`, `last`, `head`; logits_BK."""

    def __init__(self, input_channels: int, num_classes: int, width: float):
        super().__init__()
        inputs = scaled(32, width)
        self.add_module(
            "stem",
            nn.Sequential(conv3x3(input_channels, inputs, 2), nn.BatchNorm2d(inputs), nn.ReLU6()),
        )
        for number, (expansion, channels, blocks, stride) in enumerate(PLAN, start=1):
            outputs = scaled(channels, width)
            stage = nn.Sequential(InvertedResidual(inputs, outputs, stride, expansion))
            for _ in range(blocks - 1):
                stage.append(InvertedResidual(outputs, outputs, 1, expansion))
            self.add_module(f"stage{number}", stage)
            inputs = outputs
        last = scaled(LAST_CHANNELS, max(1.0, width))
        self.add_module(
            "last", nn.Sequential(conv1x1(inputs, last), nn.BatchNorm2d(last), nn.ReLU6())
        )
        self.add_module("head", Classifier(last, num_classes))
        initialise(self)
