"""A campaign: trials drawn from a seed, run by lanes that each reuse a service while it fits."""

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
from tests.faults.trial import Verdict, run_trial

MAX_TRIALS = 12  # per service: all its rows are checked after each trial
STANDINS = 0.3  # share of trials with stand-in runs, among those that allow them
WARM_EVERY = 4  # one trial in this many has a warm pool


@dataclass(frozen=True)
class Trial:
    """One trial; the seed and its number determine everything drawn in it."""

    number: int
    name: str
    fault: Fault
    place: Place
    seed: str
    standin: bool = False

    @property
    def warm(self) -> bool:
        """Whether the service has a warm pool."""
        return self.number % WARM_EVERY == 0

    @property
    def setting(self) -> tuple[object, ...]:
        """Trials with equal settings can share a service."""
        alone = self.number if self.fault.alone else -1
        return (self.place.name, self.standin, self.warm, alone)

    def generator(self) -> Random:
        """The random generator of the trial."""
        return Random(f"{self.seed}/{self.number}")


def draw_trials(
    seed: str, runs: int, faults: Mapping[str, Fault], places: Sequence[Place]
) -> list[Trial]:
    """Draw `runs` trials: every fault once in a random order, then again in another."""
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
            break  # no fault applies to these places
    return trials[:runs]


class Campaign:
    """Runs trials in `lanes` threads; `report` is called with each verdict."""

    def __init__(self, folder: Path, lanes: int, report: Callable[[Trial, Verdict], None]):
        self._folder = folder
        self._lanes = lanes
        self._report = report
        self._lock = threading.Lock()
        self._waiting: list[Trial] = []
        self.verdicts: dict[Trial, Verdict] = {}

    def run(self, trials: Sequence[Trial]) -> dict[Trial, Verdict]:
        """Run all trials; those that can share a service run one after another."""
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
            verdict = lane.run(trial)
            with self._lock:
                self.verdicts[trial] = verdict
                self._report(trial, verdict)
        lane.close()

    def _next(self, lane: "Lane") -> Trial | None:
        """Take the next trial, preferably one that fits the lane's service."""
        with self._lock:
            fitting = (t for t in self._waiting if t.setting == lane.setting)
            trial = next(fitting, self._waiting[0] if self._waiting else None)
            if trial is not None:
                self._waiting.remove(trial)
            return trial


class Lane:
    """Holds one scenario at a time, reused while trials fit it and are survived."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._scenario: FaultScenario | None = None
        self._trials = 0
        self.setting: tuple[object, ...] | None = None

    def run(self, trial: Trial) -> Verdict:
        """Run the trial in the current scenario or a new one."""
        verdict = Verdict("", 0.0)
        try:
            if trial.setting != self.setting or self._trials >= MAX_TRIALS:
                self.close()
                self._open(trial)
            assert self._scenario is not None
            verdict = run_trial(trial.fault, self._scenario, trial.generator())
            self._trials += 1
            if not verdict.survived:
                verdict.problems.append(f"logs: {self._scenario.folder}")
            if not verdict.survived or trial.fault.alone:
                self.close(keep=not verdict.survived)
        except Exception as error:  # noqa: BLE001 - one broken service must not end the campaign
            self._scenario, self.setting = None, None
            verdict.problems.append(f"the service could not start or stop: {error!r}")
        return verdict

    def _open(self, trial: Trial) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{trial.place.name}-", dir=self._folder))
        self._scenario = FaultScenario(trial.place, folder, standin=trial.standin)
        self.setting, self._trials = trial.setting, 0
        if not trial.fault.alone:
            self._scenario.open(KD_WARM=str(trial.warm).lower())

    def close(self, *, keep: bool = False) -> None:
        """Close the scenario; none of its processes may be left."""
        scenario, self._scenario, self.setting = self._scenario, None, None
        if scenario is not None:
            scenario.close()
            if not keep:
                shutil.rmtree(scenario.folder, ignore_errors=True)
