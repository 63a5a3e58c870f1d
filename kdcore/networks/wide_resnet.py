"""Wide residual networks (Zagoruyko & Komodakis 2016): pre-activation blocks, 6n+4 layers."""

# B batch, C channels, H height, W width, K classes

from torch import Tensor, nn

from kdcore.networks.layers import Classifier, conv1x1, conv3x3, initialise
from kdcore.spec.architectures import scaled


class PreActivationBlock(nn.Module):
    """BN, ReLU, convolution, twice; if the shape changes, the shortcut starts after `relu1`."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(outputs, outputs)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = conv1x1(inputs, outputs, stride)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        active_BCHW: Tensor = self.relu1(self.bn1(x_BCHW))
        skip_BCHW = x_BCHW if self.shortcut is None else self.shortcut(active_BCHW)
        y_BCHW: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(active_BCHW))))
        return y_BCHW + skip_BCHW


class WideResNet(nn.Sequential):
    """`stem`, `stage1` to `stage3`, `norm`, `relu`, `head`; logits_BK."""

    def __init__(self, depth: int, widen: int, input_channels: int, num_classes: int, width: float):
        super().__init__()
        assert (depth - 4) % 6 == 0, depth
        blocks = (depth - 4) // 6
        inputs = scaled(16, width)
        self.add_module("stem", conv3x3(input_channels, inputs))
        for number, channels in enumerate((16, 32, 64), start=1):
            outputs = scaled(channels * widen, width)
            first = PreActivationBlock(inputs, outputs, stride=1 if number == 1 else 2)
            rest = [PreActivationBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)]
            self.add_module(f"stage{number}", nn.Sequential(first, *rest))
            inputs = outputs
        self.add_module("norm", nn.BatchNorm2d(inputs))
        self.add_module("relu", nn.ReLU())
        self.add_module("head", Classifier(inputs, num_classes))
        initialise(self)
