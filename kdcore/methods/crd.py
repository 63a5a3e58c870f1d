"""Contrastive representation distillation (Tian et al. 2020, eq. 10 to 18).

    h(s, t) = g / (g + K/N),  g = exp(e_s^T e_t / T) / Z
    loss = -mean over samples of (log h(own) + sum over negatives log(1 - h(negative)))

of the student against the memory of the teacher's embeddings and vice versa, summed.
e: linear embeddings of the maps' means, normalised to length 1, both trained. The memories hold
the latest embedding of every training sample (with momentum). Z is estimated once, from the first
batch.
Negatives are samples of other classes, or any other samples if there are no labels.
Departures from the paper: one draw of K negatives serves a whole batch, so that the contrast is one
matrix product; if K is not below the number of samples, all of them are the negatives.

B: batch, C: channels, E: width of the embedding, K: negatives, N: training samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.objectives.base import MethodContext, implements
from kdcore.objectives.map_base import Pair, RelationMethod, embedding
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.relations import CrdKnobs

EPSILON = 1e-7


@in_float32
def contrast_loss(own_B: Tensor, others_BK: Tensor, is_negative_BK: Tensor, samples: int) -> Tensor:
    """Noise-contrastive loss of normalised scores g, own pairs against negatives, mean over B.

    `samples`: N, the size of the noise's uniform distribution.
    """
    count_B = is_negative_BK.sum(1).clamp(min=1)
    noise_B = count_B / samples
    own_B = (own_B / (own_B + noise_B + EPSILON)).log()
    others_BK = (noise_B[:, None] / (others_BK + noise_B[:, None] + EPSILON)).log()
    return -(own_B + (others_BK * is_negative_BK).sum(1)).mean()


class Contrast(nn.Module):
    """Embeddings of the student and one teacher, and a memory of each."""

    memory_student_NE: Tensor
    memory_teacher_NE: Tensor
    scale_2: Tensor
    row_S: Tensor
    labels_N: Tensor | None

    def __init__(self, student: int, teacher: int, knobs: CrdKnobs, context: MethodContext) -> None:
        super().__init__()
        assert context.training_N is not None
        self.knobs = knobs
        self.student = nn.Linear(student, knobs.embedding)
        self.teacher = nn.Linear(teacher, knobs.embedding)
        self.samples = len(context.training_N)
        for name in ("memory_student_NE", "memory_teacher_NE"):
            start_NE = torch.randn(self.samples, knobs.embedding)
            self.register_buffer(name, functional.normalize(start_NE, dim=1))
        self.register_buffer("scale_2", torch.zeros(2))
        row_S = torch.full((int(context.training_N.max()) + 1,), -1)
        row_S[context.training_N] = torch.arange(self.samples)
        self.register_buffer("row_S", row_S, persistent=False)
        labels_N = None if context.labels_N is None else context.labels_N[context.training_N]
        self.register_buffer("labels_N", labels_N, persistent=False)

    def forward(self, student_BC: Tensor, teacher_BC: Tensor, batch: Batch) -> Tensor:
        """Sum both contrasts; in training mode, also update the memories with the batch."""
        assert batch.mix is None, "the spec refuses mixed images: the memory has one row a sample"
        student_BE = functional.normalize(self.student(student_BC).float(), dim=1)
        teacher_BE = functional.normalize(self.teacher(teacher_BC).float(), dim=1)
        if not self.training:  # held-out samples are in no memory: they are their own positives
            return self._both(student_BE, teacher_BE, teacher_BE, student_BE, batch.labels_B, None)
        row_B = self.row_S[batch.index_B]
        own_teacher_BE = self.memory_teacher_NE[row_B]
        own_student_BE = self.memory_student_NE[row_B]
        labels_B = None if self.labels_N is None else self.labels_N[row_B]
        loss = self._both(student_BE, teacher_BE, own_teacher_BE, own_student_BE, labels_B, row_B)
        self._remember(row_B, student_BE.detach(), teacher_BE.detach())
        return loss

    def _both(
        self,
        student_BE: Tensor,
        teacher_BE: Tensor,
        own_teacher_BE: Tensor,
        own_student_BE: Tensor,
        labels_B: Tensor | None,
        row_B: Tensor | None,
    ) -> Tensor:
        drawn_K = self._draw(student_BE.device)
        is_negative_BK = self._negatives(drawn_K, labels_B, row_B, len(student_BE))
        sides = (
            (student_BE, own_teacher_BE, self.memory_teacher_NE),
            (teacher_BE, own_student_BE, self.memory_student_NE),
        )
        losses = []
        for side, (anchor_BE, own_BE, memory_NE) in enumerate(sides):
            own_B = torch.exp((anchor_BE * own_BE).sum(1) / self.knobs.temperature)
            negatives_KE = memory_NE[drawn_K]
            others_BK = torch.exp(anchor_BE @ negatives_KE.T / self.knobs.temperature)
            scale = self._scale(side, own_B, others_BK)
            loss = contrast_loss(own_B / scale, others_BK / scale, is_negative_BK, self.samples)
            losses.append(loss)
        return losses[0] + losses[1]

    def _draw(self, device: torch.device) -> Tensor:
        if self.knobs.negatives >= self.samples:
            return torch.arange(self.samples, device=device)
        # In validation always the same ones, so that epochs compare and no generator advances.
        generator = None if self.training else torch.Generator().manual_seed(0)
        shape = (self.knobs.negatives,)
        return torch.randint(self.samples, shape, generator=generator).to(device)

    def _negatives(
        self, drawn_K: Tensor, labels_B: Tensor | None, row_B: Tensor | None, count: int
    ) -> Tensor:
        """Which of the drawn samples are negatives of which samples of the batch."""
        if labels_B is not None and self.labels_N is not None:
            return self.labels_N[drawn_K][None] != labels_B[:, None]
        if row_B is not None:
            return drawn_K[None] != row_B[:, None]
        return torch.ones(count, len(drawn_K), dtype=torch.bool, device=drawn_K.device)

    def _scale(self, side: int, own_B: Tensor, others_BK: Tensor) -> Tensor:
        """The normaliser Z, set once: the mean score times N."""
        if self.training:
            scores = torch.cat((own_B.detach(), others_BK.detach().flatten()))
            first = scores.mean() * self.samples
            self.scale_2[side] = torch.where(self.scale_2[side] == 0, first, self.scale_2[side])
        return torch.where(self.scale_2[side] == 0, float(self.samples), self.scale_2[side])

    def _remember(self, row_B: Tensor, student_BE: Tensor, teacher_BE: Tensor) -> None:
        momentum = self.knobs.momentum
        for memory_NE, fresh_BE in (
            (self.memory_student_NE, student_BE),
            (self.memory_teacher_NE, teacher_BE),
        ):
            mixed_BE = momentum * memory_NE[row_B] + (1 - momentum) * fresh_BE
            memory_NE[row_B] = functional.normalize(mixed_BE, dim=1)


@implements(CrdKnobs)
class Crd(RelationMethod[CrdKnobs]):
    """Contrasts the two embeddings of each sample with those of other samples."""

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        (own, theirs) = pairs[-1]
        return Contrast(own.grid.channels, theirs.grid.channels, self.knobs, context)

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        loss: Tensor = head(embedding(students[-1]), embedding(teachers[-1]), batch)
        return loss
