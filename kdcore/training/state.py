"""Everything a run must remember to go on with the same bits, to and from a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from kdcore.objectives.objectives import Objectives
from kdcore.runtime.seeds import random_state, restore_random_state
from kdcore.spec.names import ArmName
from kdcore.spec.result import Machine
from kdcore.training.checkpoint import Snapshot
from kdcore.training.meter import Meter
from kdcore.training.stage import StageRun, within

Weights = dict[str, Tensor]


@dataclass
class TrainingPosition:
    """Where a run is: epochs done in the stage, steps done in the epoch.

    After an epoch's last step and before its evaluation, `step` is the epoch's number of steps.
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
    """What a finished arm leaves: the last epoch's weights and its last stage's best."""

    last: Weights
    best: Best | None


@dataclass
class History:
    """What a run knows of its earlier attempts. `identity` says which spec they belong to."""

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
    meter: Meter = field(default_factory=Meter)  # of losses that were not reported yet

    def snapshot(
        self,
        student: nn.Module | None,
        stage: StageRun | None,
        previous_methods: Sequence[Objectives] = (),
    ) -> Snapshot:
        """All of it, with the student's and the stage's state where a arm is under way, and what
        the methods of its earlier stages have `previous_methods`."""
        random_tensors, random_facts = random_state()
        tensors = _under("random", random_tensors)
        facts: dict[str, Any] = {
            "position": asdict(self.position),
            "random": random_facts,
            "best": _describe(self.best),
            "finished": {name: _describe(o.best) for name, o in self.finished.items()},
            "history": {**asdict(self.history), "machine": self.history.machine.model_dump()},
        }
        if student is not None and stage is not None:
            tensors |= _under("student", student.state_dict()) | _under("stage", stage.tensors())
            facts["stage"] = stage.facts()
            tensors |= _under("meter", self.meter.tensors())
            facts["meter"] = self.meter.facts()
            for index, objectives in enumerate(previous_methods):
                tensors |= _under(f"taught.{index}", objectives.persistent_state())
        if self.best is not None:
            tensors |= _under("best", self.best.weights)
        for name, outcome in self.finished.items():
            tensors |= _under(f"{name}.last", outcome.last)
            if outcome.best is not None:
                tensors |= _under(f"{name}.best", outcome.best.weights)
        about = {"identity": self.history.identity, "machine": facts["history"]["machine"]}
        return Snapshot(tensors, facts, about)

    def restore(self, snapshot: Snapshot) -> None:
        """Take over position, best and finished arms, and note the resume in the history.

        The student's, the stage's and the generators' state wait for `restore_stage`.
        """
        tensors, facts = snapshot.tensors, snapshot.facts
        self.position = TrainingPosition(**facts["position"])
        self.best = _best(facts["best"], within(tensors, "best/"))
        for name, described in facts["finished"].items():
            best = _best(described, within(tensors, f"{name}.best/"))
            self.finished[name] = Outcome(within(tensors, f"{name}.last/"), best)
        self.meter = Meter()
        if "meter" in facts:  # checkpoints were written without it once
            self.meter.load(within(tensors, "meter/"), facts["meter"])
        before = facts["history"]
        same = Machine(**before["machine"]) == self.history.machine
        self.history.bit_exact = before["bit_exact"] and same
        self.history.resumes = before["resumes"] + 1
        self.history.seconds = before["seconds"]


def restore_previous_methods(snapshot: Snapshot, index: int, objectives: Objectives) -> None:
    """Give the methods of an earlier stage what they had learnt."""
    objectives.restore(within(snapshot.tensors, f"taught.{index}/"))


def restore_stage(snapshot: Snapshot, student: nn.Module, stage: StageRun) -> None:
    """Put the student, the stage and every generator where the snapshot has them."""
    student.load_state_dict(within(snapshot.tensors, "student/"))
    stage.load(within(snapshot.tensors, "stage/"), snapshot.facts["stage"])
    restore_random_state(within(snapshot.tensors, "random/"), snapshot.facts["random"])


def weights_of(network: nn.Module) -> Weights:
    """A copy of the network's weights and buffers."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _describe(best: Best | None) -> dict[str, float] | None:
    return None if best is None else {"score": best.score, "epoch": best.epoch}


def _best(described: Mapping[str, Any] | None, weights: Weights) -> Best | None:
    return None if described is None else Best(weights, described["score"], described["epoch"])
