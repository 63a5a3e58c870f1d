"""A campaign: trials drawn from a seed, worked off by lanes that each keep a service as long as its
next trials fit it."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.fault import Fault
from tests.faults.place import Place
from tests.faults.scenario import FaultScenario
from tests.faults.trial import Verdict, carry_out

MOST_TRIALS = 12  # on one service: its rows are all checked after each
STANDINS = 0.3  # the share of trials whose runs are stand-ins where they may be
WARM_EVERY = 4  # one trial of so many finds a run that waits


@dataclass(frozen=True)
class Trial:
    """One trial; `seed` and its number decide all that is drawn in it."""

    number: int
    name: str
    fault: Fault
    place: Place
    seed: str
    standin: bool = False

    @property
    def warm(self) -> bool:
        """Whether runs wait for jobs."""
        return self.number % WARM_EVERY == 0

    @property
    def setting(self) -> tuple[object, ...]:
        """Trials of equal settings can share a service."""
        alone = self.number if self.fault.alone else -1
        return (self.place.name, self.standin, self.warm, alone)

    def generator(self) -> Random:
        """What the fault draws from."""
        return Random(f"{self.seed}/{self.number}")


def draw_trials(
    seed: str, runs: int, faults: Mapping[str, Fault], places: Sequence[Place]
) -> list[Trial]:
    """So many trials: every fault once in a drawn order, then again in another."""
    trials: list[Trial] = []
    while len(trials) < runs and faults:
        names = sorted(faults)
        draw = Random(f"{seed}/order/{len(trials)}")
        draw.shuffle(names)
        for name in names:
            fault = faults[name]
            fitting = [place for place in places if place.name in fault.places]
            if fitting:
                where = draw.choice(fitting)
                chance = 0.0 if fault.kdcore or fault.alone else STANDINS
                standin = fault.standin or draw.random() < chance
                trials.append(Trial(len(trials), name, fault, where, seed, standin))
        if not trials:
            break  # no fault can happen at these places
    return trials[:runs]


class Campaign:
    """Works trials off in `lanes` threads; `tell` hears of each verdict as it comes."""

    def __init__(self, folder: Path, lanes: int, tell: Callable[[Trial, Verdict], None]):
        self._folder = folder
        self._lanes = lanes
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: list[Trial] = []
        self.verdicts: dict[Trial, Verdict] = {}

    def run(self, trials: Sequence[Trial]) -> dict[Trial, Verdict]:
        """All of them; those that can share a service come one after another."""
        self._waiting = sorted(trials, key=lambda trial: (repr(trial.setting), trial.number))
        threads = [threading.Thread(target=self._work) for _ in range(self._lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.verdicts

    def _work(self) -> None:
        lane = Lane(self._folder)
        while (trial := self._next(lane)) is not None:
            verdict = lane.carry_out(trial)
            with self._lock:
                self.verdicts[trial] = verdict
                self._tell(trial, verdict)
        lane.leave()

    def _next(self, lane: "Lane") -> Trial | None:
        """One that fits the lane's service if there is any."""
        with self._lock:
            fitting = (t for t in self._waiting if t.setting == lane.setting)
            trial = next(fitting, self._waiting[0] if self._waiting else None)
            if trial is not None:
                self._waiting.remove(trial)
            return trial


class Lane:
    """One scene at a time, kept while trials fit it and nothing was wrong with it."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._scene: FaultScenario | None = None
        self._trials = 0
        self.setting: tuple[object, ...] | None = None

    def carry_out(self, trial: Trial) -> Verdict:
        """The trial, on the scene there is or on a new one."""
        verdict = Verdict("", 0.0)
        try:
            if trial.setting != self.setting or self._trials >= MOST_TRIALS:
                self.leave()
                self._enter(trial)
            assert self._scene is not None
            verdict = carry_out(trial.fault, self._scene, trial.generator())
            self._trials += 1
            if not verdict.survived:
                verdict.problems.append(f"logs: {self._scene.folder}")
            if not verdict.survived or trial.fault.alone:
                self.leave(keep=not verdict.survived)
        except Exception as error:  # noqa: BLE001 - one broken service is not the campaign's end
            self._scene, self.setting = None, None
            verdict.problems.append(f"the service could not start or stop: {error!r}")
        return verdict

    def _enter(self, trial: Trial) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{trial.place.name}-", dir=self._folder))
        self._scene = FaultScenario(trial.place, folder, standin=trial.standin)
        self.setting, self._trials = trial.setting, 0
        if not trial.fault.alone:
            self._scene.open(KD_WARM=str(trial.warm).lower())

    def leave(self, *, keep: bool = False) -> None:
        """Close the scene; nothing of it may be left."""
        scenario, self._scene, self.setting = self._scene, None, None
        if scenario is not None:
            scenario.close()
            if not keep:
                shutil.rmtree(scenario.folder, ignore_errors=True)
