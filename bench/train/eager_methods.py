"""The four methods as plain modules, structured like the papers' published code.

They use float32, features from hooks, and torch's own functions for pooling and attention. They
share no arithmetic with kdcore, so that optimizing kdcore does not make this side faster too.

B: batch, C: channels, M: middle width, H, W: height and width, K: classes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.train.task import last_blocks, weights_of

TEMPERATURE = 4.0


class Features:
    """The inputs and outputs of the ReLU at the end of each stage, in the latest pass."""

    def __init__(self, net: nn.Module) -> None:
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []
        self.channels: list[int] = []
        for path in last_blocks(net):
            block = net.get_submodule(path.rpartition(".")[0])
            self.channels.append(block.get_submodule("bn2").num_features)  # type: ignore[arg-type]
            net.get_submodule(path).register_forward_hook(self._keep)

    def _keep(self, _: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        if len(self.before) == len(self.channels):
            self.before, self.after = [], []
        self.before.append(args[0])
        self.after.append(out)


class Method(nn.Module):
    """The loss of one batch: the weighted sum of cross-entropy and the method's own term."""

    teacher_trains = False  # whether its batch norms use the batch's statistics

    def __init__(self, name: str, student: Features, teacher: Features) -> None:
        super().__init__()
        weights = weights_of(name)
        self.weight, self.hard = weights[name], weights["hard_target"]
        self.student, self.teacher = student, teacher

    def forward(self, own_BK: Tensor, theirs_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Compute the weighted sum."""
        hard = functional.cross_entropy(own_BK, labels_B)
        return self.hard * hard + self.weight * self.term(own_BK, theirs_BK)

    def term(self, own_BK: Tensor, theirs_BK: Tensor) -> Tensor:
        """Compute the method's own loss."""
        raise NotImplementedError


class Kd(Method):
    """Soft targets."""

    def term(self, own_BK: Tensor, theirs_BK: Tensor) -> Tensor:
        log_BK = functional.log_softmax(own_BK / TEMPERATURE, dim=1)
        target_BK = functional.softmax(theirs_BK / TEMPERATURE, dim=1)
        divergence = functional.kl_div(log_BK, target_BK, reduction="none").sum(1).mean()
        return divergence * TEMPERATURE**2


class Fitnet(Method):
    """FitNets in the joint form: a 1x1 regressor with batch norm on the middle level."""

    def __init__(self, name: str, student: Features, teacher: Features) -> None:
        super().__init__(name, student, teacher)
        own, theirs = student.channels[1], teacher.channels[1]
        self.regressor = nn.Sequential(
            nn.Conv2d(own, theirs, 1), nn.BatchNorm2d(theirs), nn.ReLU(inplace=True)
        )

    def term(self, own_BK: Tensor, theirs_BK: Tensor) -> Tensor:
        return functional.mse_loss(self.regressor(self.student.after[1]), self.teacher.after[1])


class Overhaul(Method):
    """Partial L2 to the teacher's margin ReLU, before the ReLU, at three levels."""

    teacher_trains = True

    def __init__(self, name: str, student: Features, teacher: Features, net: nn.Module) -> None:
        super().__init__(name, student, teacher)
        pairs = zip(student.channels, teacher.channels, strict=True)
        self.connectors = nn.ModuleList(
            nn.Sequential(nn.Conv2d(own, theirs, 1, bias=False), nn.BatchNorm2d(theirs))
            for own, theirs in pairs
        )
        self.margins = [
            _margin(net.get_submodule(path.rpartition(".")[0]).get_submodule("bn2"))
            for path in last_blocks(net)
        ]

    def term(self, own_BK: Tensor, theirs_BK: Tensor) -> Tensor:
        total = torch.zeros(())
        levels = len(self.connectors)
        for index, connector in enumerate(self.connectors):
            own_BCHW = connector(self.student.before[index])
            target_BCHW = torch.max(self.teacher.before[index], self.margins[index])
            loss_BCHW = functional.mse_loss(own_BCHW, target_BCHW, reduction="none")
            counted_BCHW = (own_BCHW > target_BCHW) | (target_BCHW > 0)
            part = (loss_BCHW * counted_BCHW.float()).sum()
            total = total + part / 2 ** (levels - 1 - index)
        return total / len(own_BK)


def _margin(norm: nn.Module) -> Tensor:
    """margin_1C11: the mean of the negative responses after a batch norm."""
    assert isinstance(norm, nn.BatchNorm2d)
    weight_C, bias_C = norm.weight.detach().abs(), norm.bias.detach()
    z_C = -bias_C / weight_C
    below_C = 0.5 * (1 + torch.erf(z_C / math.sqrt(2)))
    density_C = torch.exp(-(z_C**2) / 2) / math.sqrt(2 * math.pi)
    margin_C = torch.where(below_C > 0.001, bias_C - weight_C * density_C / below_C, -3 * weight_C)
    return margin_C.view(1, -1, 1, 1)


class _Fusion(nn.Module):
    """Fuses a level with the result of the deeper levels by attention."""

    def __init__(self, own: int, middle: int, theirs: int, deepest: bool) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(own, middle, 1, bias=False), nn.BatchNorm2d(middle))
        self.widen = nn.Sequential(
            nn.Conv2d(middle, theirs, 3, padding=1, bias=False), nn.BatchNorm2d(theirs)
        )
        self.attention = (
            None if deepest else nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid())
        )

    def forward(self, x_BCHW: Tensor, deeper_BMHW: Tensor | None) -> tuple[Tensor, Tensor]:
        x_BMHW = self.narrow(x_BCHW)
        if self.attention is not None and deeper_BMHW is not None:
            deeper_BMHW = functional.interpolate(deeper_BMHW, x_BMHW.shape[2:], mode="nearest")
            mix_B2HW = self.attention(torch.cat((x_BMHW, deeper_BMHW), dim=1))
            x_BMHW = x_BMHW * mix_B2HW[:, :1] + deeper_BMHW * mix_B2HW[:, 1:]
        return self.widen(x_BMHW), x_BMHW


class Reviewkd(Method):
    """Each level fused with all deeper ones, and the hierarchical context loss."""

    def __init__(self, name: str, student: Features, teacher: Features) -> None:
        super().__init__(name, student, teacher)
        own = [*student.channels, student.channels[-1]]
        theirs = [*teacher.channels, teacher.channels[-1]]
        middle, last = min(512, own[-1]), len(own) - 1
        self.fusions = nn.ModuleList(
            _Fusion(s, middle, t, index == last)
            for index, (s, t) in enumerate(zip(own, theirs, strict=True))
        )

    def term(self, own_BK: Tensor, theirs_BK: Tensor) -> Tensor:
        own, theirs = _with_pooled(self.student), _with_pooled(self.teacher)
        loss, fused = torch.zeros(()), None
        for index in reversed(range(len(own))):
            output_BCHW, fused = self.fusions[index](own[index], fused)
            loss = loss + _context(output_BCHW, theirs[index])
        return loss


def _with_pooled(features: Features) -> Sequence[Tensor]:
    return [*features.before, functional.adaptive_avg_pool2d(features.after[-1], 1)]


def _context(own_BCHW: Tensor, theirs_BCHW: Tensor) -> Tensor:
    loss, weight, total = functional.mse_loss(own_BCHW, theirs_BCHW), 1.0, 1.0
    for size in (4, 2, 1):
        if size >= own_BCHW.shape[2]:
            continue
        weight /= 2
        loss = loss + weight * functional.mse_loss(
            functional.adaptive_avg_pool2d(own_BCHW, size),
            functional.adaptive_avg_pool2d(theirs_BCHW, size),
        )
        total += weight
    return loss / total


def make_method(name: str, student: nn.Module, teacher: nn.Module) -> Method:
    """Build the method for two of our ResNets and register its hooks."""
    own, theirs = Features(student), Features(teacher)
    if name == "overhaul":
        return Overhaul(name, own, theirs, teacher)
    kinds: dict[str, type[Method]] = {"kd": Kd, "fitnet": Fitnet, "reviewkd": Reviewkd}
    return kinds[name](name, own, theirs)
