"""The objectives that the quality bench uses for every method.

Weights are the reference library's if it has the method, otherwise our defaults.
"""

from typing import Any

Spec = dict[str, Any]
SCRATCH = "from scratch"
HARD: Spec = {"method": "hard_target"}
OPTIMIZER = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
SCHEDULE = {"name": "multistep", "milestones": [0.625, 0.75, 0.875], "gamma": 0.1}
WARMUP = {"warmup_epochs": 1 / 8}  # a share of the epochs; stage_lists converts it

# For each recipe a list of stages, each with its share of the epochs and its objectives.
RECIPES: dict[str, list[tuple[float, list[Spec]]]] = {
    SCRATCH: [(1, [HARD])],
    # Labels alone, for as many epochs as two-stage recipes train on them.
    "from scratch, 3/4 of the epochs": [(0.75, [HARD])],
    "kd": [(1, [{"method": "kd", "weight": 0.9}, {**HARD, "weight": 0.1}])],
    "fitnet, joint": [
        (1, [{"method": "fitnet", "weight": 100, "regressor_batch_norm": True}, HARD])
    ],
    "fitnet, joint, weight 10": [
        (1, [{"method": "fitnet", "weight": 10, "regressor_batch_norm": True}, HARD])
    ],
    "fitnet, two stages": [
        (0.25, [{"method": "fitnet"}]),
        (0.75, [{"method": "kd", "weight": 4, "weight_end": 1}, HARD]),
    ],
    "fitnet, two stages, paper's": [
        (0.25, [{"method": "fitnet"}]),
        # 4 falling to 1 at temperature 3, without the factor T^2 that kd has.
        (0.75, [{"method": "kd", "temperature": 3, "weight": 4 / 9, "weight_end": 1 / 9}, HARD]),
    ],
    "at": [(1, [{"method": "at"}, HARD])],
    "at, weight 100": [(1, [{"method": "at", "weight": 100}, HARD])],
    "fsp, joint": [(1, [{"method": "fsp"}, HARD])],
    "fsp, two stages": [(0.25, [{"method": "fsp"}]), (0.75, [HARD])],
    "overhaul": [(1, [{"method": "overhaul"}, HARD])],
    "reviewkd": [(1, [{"method": "reviewkd", **WARMUP}, HARD])],
    "reviewkd + dkd": [
        (1, [{"method": "reviewkd", **WARMUP}, {"method": "dkd", "beta": 2.0, **WARMUP}, HARD])
    ],
    "dkd": [(1, [{"method": "dkd", "beta": 2.0, **WARMUP}, HARD])],
    "dist": [(1, [{"method": "dist"}, HARD])],
    "standardized_kd": [(1, [{"method": "standardized_kd"}, {**HARD, "weight": 0.1}])],
    "ab, two stages": [(0.25, [{"method": "ab"}]), (0.75, [HARD])],
    "ft": [(1, [{"method": "ft"}, HARD])],
    "nst": [(1, [{"method": "nst"}, HARD])],
    "vid": [(1, [{"method": "vid"}, HARD])],
    "sp": [(1, [{"method": "sp"}, HARD])],
    "pkt": [(1, [{"method": "pkt"}, HARD])],
    "cc": [(1, [{"method": "cc"}, HARD])],
    "rkd": [(1, [{"method": "rkd"}, HARD])],
    "simkd": [(1, [{"method": "simkd", "weight": 10}])],
    "crd": [(1, [{"method": "crd"}, HARD])],
    # The paper's weight is for 240 epochs of 50,000 images.
    "crd, weight 0.02": [(1, [{"method": "crd", "weight": 0.02}, HARD])],
}


def stage_lists(method: str, epochs: int) -> list[Spec]:
    """The stages of a method's recipe, `epochs` in total and at least one each."""
    recipe = RECIPES[method]
    left = round(epochs * sum(share for share, _ in recipe))
    stages: list[Spec] = []
    for number, (share, objectives) in enumerate(recipe, 1):
        own = left if number == len(recipe) else max(1, round(epochs * share))
        left -= own
        stages.append(
            {
                "epochs": own,
                "objectives": [_objective(objective, epochs) for objective in objectives],
                "optimizer": OPTIMIZER,
                "schedule": SCHEDULE,
            }
        )
    return stages


def _objective(objective: Spec, epochs: int) -> Spec:
    share = objective.get("warmup_epochs")
    return objective if share is None else {**objective, "warmup_epochs": share * epochs}
