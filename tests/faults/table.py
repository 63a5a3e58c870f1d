"""The results of a campaign, as a Markdown table and as JSON."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.faults.campaign import Trial
from tests.faults.trial import Verdict

HEAD = ("#", "fault", "runs (embedded, servers)", "survived", "most often", "median s")
Verdicts = Mapping[Trial, Verdict]


def markdown(verdicts: Verdicts) -> str:
    """The table of results, one row per fault."""
    lines: list[tuple[str, ...]] = [HEAD, ("---",) * len(HEAD), *_rows(verdicts)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _rows(verdicts: Verdicts) -> Sequence[tuple[str, ...]]:
    groups: dict[tuple[int, str], list[Trial]] = defaultdict(list)
    for trial in verdicts:
        groups[int(trial.fault.number[1:]), trial.fault.row].append(trial)
    rows = []
    for (number, row), trials in sorted(groups.items()):
        own = [verdicts[trial] for trial in trials]
        places = Counter(trial.place.name for trial in trials)
        outcomes = Counter(verdict.outcome for verdict in own if verdict.survived)
        survived = sum(verdict.survived for verdict in own)
        cells = (
            f"F{number}",
            row,
            f"{len(own)} ({places['embedded']}, {places['servers']})",
            str(survived) if survived == len(own) else f"**{survived}**",
            (outcomes.most_common(1)[0][0] if outcomes else "").replace("|", "/"),
            f"{median(verdict.seconds for verdict in own):.0f}",
        )
        rows.append(cells)
    return rows


def document(seed: str, verdicts: Verdicts) -> dict[str, Any]:
    """All results, as a JSON document."""
    trials = [
        {
            "trial": trial.number,
            "fault": trial.name,
            "number": trial.fault.number,
            "place": trial.place.name,
            "runs": "stand-ins" if trial.standin else "kdcore",
            "outcome": verdict.outcome,
            "seconds": round(verdict.seconds, 1),
            "problems": verdict.problems,
        }
        for trial, verdict in sorted(verdicts.items(), key=lambda item: item[0].number)
    ]
    survived = sum(verdict.survived for verdict in verdicts.values())
    return {"seed": seed, "runs": len(trials), "survived": survived, "trials": trials}
