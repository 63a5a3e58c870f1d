"""Records the seeded metrics and weights of every method, to compare before and after a refactor.

    python -m tests.kdcore.curves record FILE     # on the code as it is
    python -m tests.kdcore.curves compare FILE    # after the change; exits with 1 on a difference

The bits depend on the processor and on torch's build: record and compare on one machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kdcore.spec.methods import KNOBS
from tests.kdcore.tiny import FITNET, HARD, KD, events_of, make_folder, stage, weights_hash

PARAPHRASER = {"method": "ft", "part": "paraphraser"}
ADAMW: dict[str, Any] = {
    "optimizer": {"name": "adamw"},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "two stages of fitnet": {
        "stages": [
            stage(FITNET, epochs=2, start_from="last"),
            stage(HARD, KD, start_from="best", **ADAMW),
        ]
    },
    "two stages of ft": {"stages": [stage(PARAPHRASER), stage(HARD, {"method": "ft"})]},
    "everything": {
        "stages": [
            stage(HARD, {"method": "crd", "negatives": 5}, ema={"decay": 0.7}),
            stage(HARD, {**KD, "weight": 4, "weight_end": 1}, epochs=3, **ADAMW),
        ],
        "data": {
            "batch_size": 4,
            "accumulate": 2,
            "validation": 0.25,
            "augment": ["crop", "flip", "colour_jitter", "cutout"],
        },
        "teacher_cache": {"views": 2},
        "precision": "bf16",
    },
    "mixed images": {
        "data": {"batch_size": 8, "validation": 0.25, "augment": ["crop", "mixup", "cutmix"]},
    },
}


def specs() -> dict[str, dict[str, Any]]:
    """What to change in the usual small run, by name: every method, and some layouts."""
    methods = {
        method: {
            "stages": [stage(HARD, {"method": method, "weight": 0.01}, epochs=3)],
            # fsp compares maps of equal widths
            **(
                {"student": {"architecture": "resnet8", "options": {"width": 0.5}}}
                if method == "fsp"
                else {}
            ),
        }
        for method in KNOBS
    }
    return {**methods, **LAYOUTS}


def curve(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Run one spec in a process of its own; its metrics by step, and a hash of its weights."""
    make_folder(folder, **changes)
    command = [sys.executable, "-m", "kdcore", "run", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"exit": done.returncode, "end": events_of(folder, "end")[-1]["message"]}
    metrics = [(e["step"], e["values"]) for e in events_of(folder, "metrics")]
    return {"metrics": metrics, "weights": weights_hash(folder)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {
            name: curve(Path(folder) / str(index), changes)
            for index, (name, changes) in enumerate(specs().items())
        }
    if given.action == "record":
        given.file.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    wanted = json.loads(given.file.read_text())
    found = json.loads(json.dumps(found))
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    print(f"{len(found)} curves, {len(differing)} differ", *differing, sep="\n  ")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
