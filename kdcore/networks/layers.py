"""Layers that the networks of the CIFAR papers share."""

from torch import nn


def conv3x3(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Make a 3x3 convolution, padded by 1, without bias."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Make a 1x1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, stride, groups=groups, bias=False)


class Classifier(nn.Sequential):
    """Global average pooling, then one linear layer: logits_BK from feature_BCHW."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(channels, num_classes))


def initialise(network: nn.Module) -> None:
    """Initialise all convolutions by He's method (fan out); other layers keep torch's defaults."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
