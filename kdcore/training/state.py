"""Everything a run needs in order to resume with the same bits, to and from a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from kdcore.objectives.objectives import Objectives
from kdcore.runtime.named_tensors import under, within
from kdcore.runtime.seeds import random_state, restore_random_state
from kdcore.spec.names import ArmName
from kdcore.spec.result import Machine
from kdcore.training.checkpoint import Snapshot
from kdcore.training.meter import Meter
from kdcore.training.stage import StageRun

Weights = dict[str, Tensor]


@dataclass
class TrainingPosition:
    """Where a run is: epochs done in the stage, steps done in the epoch.

    Between an epoch's last step and its validation, `step` is the number of steps per epoch.
    """

    arm: ArmName = "student"
    stage: int = 0
    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class Best:
    """The weights of a stage's best epoch; `epoch` counts from 1 over the whole arm."""

    weights: Weights
    score: float
    epoch: int


@dataclass(frozen=True)
class Outcome:
    """What a finished arm leaves: the last epoch's weights, and the best of its last stage."""

    last: Weights
    best: Best | None


@dataclass
class History:
    """What a run knows of its earlier attempts; `identity` says which spec they belong to."""

    machine: Machine
    identity: str = ""
    bit_exact: bool = True
    resumes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class TrainingState:
    """The state of a run at a step boundary."""

    history: History
    position: TrainingPosition = field(default_factory=TrainingPosition)
    best: Best | None = None
    finished: dict[ArmName, Outcome] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)  # of losses not reported yet

    def snapshot(
        self,
        student: nn.Module | None,
        stage: StageRun | None,
        previous: Sequence[Objectives] = (),
    ) -> Snapshot:
        """Collect the whole state; inside an arm, with the student's and the stage's state, and
        what the methods of the arm's `previous` stages have learnt."""
        random_tensors, random_facts = random_state()
        tensors = under("random", random_tensors)
        facts: dict[str, Any] = {
            "position": asdict(self.position),
            "random": random_facts,
            "best": _describe(self.best),
            "finished": {name: _describe(o.best) for name, o in self.finished.items()},
            "history": {**asdict(self.history), "machine": self.history.machine.model_dump()},
        }
        if student is not None and stage is not None:
            tensors |= under("student", student.state_dict()) | under("stage", stage.tensors())
            facts["stage"] = stage.facts()
            tensors |= under("meter", self.meter.tensors())
            facts["meter"] = self.meter.facts()
            for index, objectives in enumerate(previous):
                tensors |= under(f"previous.{index}", objectives.persistent_state())
        if self.best is not None:
            tensors |= under("best", self.best.weights)
        for name, outcome in self.finished.items():
            tensors |= under(f"{name}.last", outcome.last)
            if outcome.best is not None:
                tensors |= under(f"{name}.best", outcome.best.weights)
        about = {"identity": self.history.identity, "machine": facts["history"]["machine"]}
        return Snapshot(tensors, facts, about)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore position, best and finished arms, and count the resume in the history.

        `restore_stage` restores the student's, the stage's and the generators' state.
        """
        tensors, facts = snapshot.tensors, snapshot.facts
        self.position = TrainingPosition(**facts["position"])
        self.best = _best(facts["best"], within("best", tensors))
        for name, described in facts["finished"].items():
            best = _best(described, within(f"{name}.best", tensors))
            self.finished[name] = Outcome(within(f"{name}.last", tensors), best)
        self.meter = Meter()
        if "meter" in facts:  # absent between two arms
            self.meter.load(within("meter", tensors), facts["meter"])
        before = facts["history"]
        same = Machine(**before["machine"]) == self.history.machine
        self.history.bit_exact = before["bit_exact"] and same
        self.history.resumes = before["resumes"] + 1
        self.history.seconds = before["seconds"]


def restore_previous_methods(snapshot: Snapshot, index: int, objectives: Objectives) -> None:
    """Restore what the methods of the arm's stage `index` had learnt."""
    objectives.restore(within(f"previous.{index}", snapshot.tensors))


def restore_stage(snapshot: Snapshot, student: nn.Module, stage: StageRun) -> None:
    """Restore the student, the stage and every random generator."""
    student.load_state_dict(within("student", snapshot.tensors))
    stage.load(within("stage", snapshot.tensors), snapshot.facts["stage"])
    restore_random_state(within("random", snapshot.tensors), snapshot.facts["random"])


def weights_of(network: nn.Module) -> Weights:
    """Copy the network's weights and buffers."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


def _describe(best: Best | None) -> dict[str, float] | None:
    return None if best is None else {"score": best.score, "epoch": best.epoch}


def _best(described: Mapping[str, Any] | None, weights: Weights) -> Best | None:
    return None if described is None else Best(weights, described["score"], described["epoch"])
