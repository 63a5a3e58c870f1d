"""Checks a file of golden values: every case against our function, one row per case.

    python -m tests.kdcore.golden_cases FILE [FILE ...]

A case passes where the loss is within 1e-5 and the gradients within 1e-4, both relative (to the
largest entry of the tensor). Exit code 1 where a case fails or is not known.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from kdcore.methods import (
    ab,
    at,
    cc,
    dist,
    dkd,
    fitnet,
    fsp,
    ft,
    kd,
    nst,
    overhaul,
    pkt,
    reviewkd,
    rkd,
    sp,
    standardized_kd,
    vid,
)
from kdcore.objectives.numerics import ensemble_log_probs

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
PUBLIC = Path(__file__).parent / "golden" / "public.safetensors"

Tensors = Mapping[str, Tensor]
Params = Mapping[str, Any]
Answer = dict[str, Tensor]
"""What a case's recorded tensors are compared with, by name."""


def numbered(case: Tensors, name: str) -> list[Tensor]:
    """`name0`, `name1`, ... in order."""
    return [case[f"{name}{n}"] for n in range(len(case)) if f"{name}{n}" in case]


def _each(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensors, Params], Answer]:
    """A loss per level."""

    def run(case: Tensors, _: Params) -> Answer:
        levels = zip(numbered(case, "student"), numbered(case, "teacher"), strict=True)
        return {"loss": torch.stack([function(s, t) for s, t in levels])}

    return run


def _one(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensors, Params], Answer]:
    def run(case: Tensors, _: Params) -> Answer:
        return {"loss": function(case["student"], case["teacher"])[None]}

    return run


def _log_probs(case: Tensors, temperature: float) -> Tensor:
    return torch.log_softmax(case["teacher_logits"] / temperature, dim=1)


def _kd(case: Tensors, p: Params) -> Answer:
    target_BK = _log_probs(case, p["temperature"])
    return {"loss": kd.kd_loss(case["student_logits"], target_BK, p["temperature"])[None]}


def _dkd(case: Tensors, p: Params) -> Answer:
    t = p["temperature"]
    loss = dkd.dkd_loss(
        case["student_logits"], _log_probs(case, t), case["target"], t, p["alpha"], p["beta"]
    )
    return {"loss": loss[None]}


def _standardized_kd(case: Tensors, p: Params) -> Answer:
    t = p["temperature"]
    target_BK = torch.log_softmax(standardized_kd.standardized(case["teacher_logits"]) / t, dim=1)
    loss = standardized_kd.standardized_kd_loss(case["student_logits"], target_BK, t)
    return {"loss": loss[None]}


def _dist(case: Tensors, p: Params) -> Answer:
    t = p["temperature"]
    loss = dist.dist_loss(case["student_logits"], _log_probs(case, t), t, p["beta"], p["gamma"])
    return {"loss": loss[None]}


def _ensemble(case: Tensors, p: Params) -> Answer:
    teachers, weights = numbered(case, "teacher"), case["weights"].tolist()
    t = p["temperature"]
    return {
        "arithmetic": ensemble_log_probs(teachers, weights, t, "arithmetic").exp(),
        "geometric": ensemble_log_probs(teachers, weights, t, "geometric").exp(),
    }


def _fsp(case: Tensors, _: Params) -> Answer:
    s, t = numbered(case, "student"), numbered(case, "teacher")
    losses = [fsp.fsp_loss(s[n], s[n + 1], t[n], t[n + 1]) for n in range(len(s) - 1)]
    return {"loss": torch.stack(losses)}


def _margin(case: Tensors, _: Params) -> Answer:
    return {"margin": overhaul.margin_of_norm(case["bn_weight"], case["bn_bias"])}


def _overhaul(case: Tensors, _: Params) -> Answer:
    loss = overhaul.partial_l2(case["student"], case["teacher"], case["margin"])
    return {"loss": loss[None]}


def _boundaries(case: Tensors, p: Params) -> Answer:
    s, t = numbered(case, "student"), numbered(case, "teacher")
    return {"loss": torch.stack(ab.boundaries_loss(s, t, p["margin"]))}


def _factors(case: Tensors, p: Params) -> Answer:
    assert p["p2"] == 1, p
    return {"loss": ft.factor_loss(case["student"], case["teacher"], p["p1"])[None]}


def _relational(case: Tensors, p: Params) -> Answer:
    loss = rkd.relational_loss(
        case["student"], case["teacher"], p["distance_weight"], p["angle_weight"]
    )
    return {"loss": loss[None]}


def _hierarchical(case: Tensors, p: Params) -> Answer:
    assert tuple(p["levels"]) == reviewkd.POOLED_SIZES, p
    levels = zip(numbered(case, "student"), numbered(case, "teacher"), strict=True)
    losses = [reviewkd.hierarchical_context_loss(s, t) for s, t in levels]
    return {"loss": torch.stack(losses).sum()[None]}


def _load(module: nn.Module, case: Tensors, names: Mapping[str, str]) -> None:
    """The case's `state.*` under our names, strictly."""
    prefixes = {f"state.{theirs}.": f"{ours}." for theirs, ours in names.items()}
    state = {
        ours + key.removeprefix(theirs): value
        for key, value in case.items()
        for theirs, ours in prefixes.items()
        if key.startswith(theirs)
    }
    module.load_state_dict(state)


def _fusion(case: Tensors, p: Params) -> Answer:
    module = reviewkd.Fusion(
        p["in_channels"], p["mid_channels"], p["out_channels"], deepest=False
    ).train()
    names = {"conv1": "reduce", "conv2": "expand", "att_conv": "attention"}
    _load(module, case, names)
    output, fused = module(case["student"], case["residual"], case["output"].shape[2:])
    loss = output.square().mean() + fused.square().mean()
    return {"output": output, "fused": fused, "loss": loss}


def _information(case: Tensors, p: Params) -> Answer:
    channels = case["student"].shape[1], case["teacher"].shape[1]
    module = vid.Regression(*channels, p["init_pred_var"])
    state = {k.removeprefix("state."): v for k, v in case.items() if k.startswith("state.")}
    module.load_state_dict(state)
    return {"loss": module(case["student"], case["teacher"])[None]}


CASES: dict[str, Callable[[Tensors, Params], Answer]] = {
    "kd": _kd,
    "ensemble": _ensemble,
    "dkd": _dkd,
    "logit_standardized_kd": _standardized_kd,
    "dist": _dist,
    "fitnet_hint": _one(fitnet.hint_loss),
    "fsp": _fsp,
    "attention_transfer": _each(at.attention_loss),
    "similarity_preserving": _each(sp.similarity_loss),
    "neuron_selectivity": _each(nst.selectivity_loss),
    "correlation_congruence": _one(cc.adjacent_loss),
    "relational": _relational,
    "probabilistic_knowledge_transfer": _one(pkt.neighbour_loss),
    "factor_transfer": _factors,
    "activation_boundary": _boundaries,
    "variational_information": _information,
    "overhaul_margin": _margin,
    "overhaul": _overhaul,
    "hierarchical_context": _hierarchical,
    "attention_fusion": _fusion,
}


@dataclass(frozen=True)
class Row:
    """The largest relative errors of a case; None if it has no such tensors."""

    name: str
    value_error: float
    gradient_error: float | None

    @property
    def passed(self) -> bool:
        """Whether both are within their tolerances (NaN is not)."""
        gradient = self.gradient_error is None or self.gradient_error <= GRADIENT_TOLERANCE
        return self.value_error <= LOSS_TOLERANCE and gradient


def read_cases(path: Path) -> dict[str, tuple[dict[str, Tensor], Params]]:
    """Every case's tensors and parameters. Raises ValueError if it is another file."""
    with safe_open(path, "pt") as file:
        described = (file.metadata() or {}).get("cases")
        if described is None:
            raise ValueError(f"{path} has no `cases` in its metadata")
        cases: dict[str, tuple[dict[str, Tensor], Params]] = {
            name: ({}, about.get("params", {})) for name, about in json.loads(described).items()
        }
        for key in file.keys():  # noqa: SIM118 -- not a mapping
            case, _, name = key.partition("/")
            cases[case][0][name] = file.get_tensor(key)
    return cases


def check_case(name: str, case: Mapping[str, Tensor], params: Params) -> Row:
    """Run our function on a case and compare values and gradients with the recorded ones."""
    wanted = {k.removeprefix("grad_"): v for k, v in case.items() if k.startswith("grad_")}
    given = {k: v.clone().requires_grad_(k in wanted) for k, v in case.items()}
    answer = CASES[name](given, params)
    values = [_error(v, case[k]) for k, v in answer.items() if k in case]
    assert values, f"{name} compares nothing"
    if not wanted:
        return Row(name, max(values), None)
    answer["loss"].sum().backward()  # type: ignore[no-untyped-call]
    gradients = []
    for key, grad in wanted.items():
        mine = given[key].grad
        gradients.append(float("nan") if mine is None else _error(mine, grad))
    return Row(name, max(values), max(gradients))


def _error(mine: Tensor, recorded: Tensor) -> float:
    """Largest difference relative to the largest recorded entry; NaN where shapes differ."""
    if mine.shape != recorded.shape:
        return float("nan")
    scale = recorded.double().abs().max().clamp(min=1e-12)
    return float(((mine.double() - recorded.double()).abs().max() / scale).item())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row per case of every file; returns 1 if one fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, default=[PUBLIC])
    failures = 0
    for path in parser.parse_args(arguments).files:
        try:
            cases = read_cases(path)
        except Exception as error:  # noqa: BLE001 - whatever the file is, report it in one line
            print(f"{path}: not a file of golden values: {error}", file=sys.stderr)
            return 2
        print(f"{'case':36}{'value':>10}{'gradient':>10}")
        for name, (tensors, params) in cases.items():
            failures += not _print_row(name, tensors, params)
    return 1 if failures else 0


def _print_row(name: str, tensors: dict[str, Tensor], params: Params) -> bool:
    if name not in CASES:
        print(f"{name:36}{'':20}  UNKNOWN")
        return False
    row = check_case(name, tensors, params)
    gradient = "" if row.gradient_error is None else f"{row.gradient_error:.1e}"
    verdict = "ok" if row.passed else "FAILED"
    print(f"{name:36}{row.value_error:10.1e}{gradient:>10}  {verdict}")
    return row.passed


if __name__ == "__main__":
    sys.exit(main())
