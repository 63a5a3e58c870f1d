"""Measures torchdistill's training box on the same task; runs in its own virtual environment.

Configurations are dictionaries like those of its YAML examples: forward hooks, loss modules and
auxiliary wrappers by name, and its data loader for the same pictures. Torchdistill does not have
the overhaul. The joint FitNets puts a ConvReg into an auxiliary wrapper, as torchdistill's other
joint methods do (its own FitNets example has two stages). Prints one line of JSON.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import RandomSampler

from bench.train.eager import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, Pictures
from bench.train.task import (
    BATCH,
    STUDENT,
    TEACHER,
    Speed,
    fresh,
    last_blocks,
    load_arrays,
    load_teacher,
    side_arguments,
    time_steps,
    weights_of,
)

Config = dict[str, Any]
PEER_METHODS = ("kd", "fitnet", "reviewkd")
CHANNELS = (64, 128, 256)
SIZES = (1, 8, 16, 32)


def hard_loss(weight: float) -> Config:
    """Configure cross-entropy on the student's output."""
    return {
        "criterion": {"key": "CrossEntropyLoss", "kwargs": {}},
        "criterion_wrapper": {
            "key": "SimpleLossWrapper",
            "kwargs": {
                "input": {"is_from_teacher": False, "module_path": ".", "io": "output"},
                "target": {"uses_label": True},
            },
        },
        "weight": weight,
    }


def kd_config() -> Config:
    """Configure soft and hard targets in torchdistill's KDLoss."""
    weights = weights_of("kd")
    logits = {f"{role}_module_path": "." for role in ("student", "teacher")}
    io = {f"{role}_module_io": "output" for role in ("student", "teacher")}
    kwargs = {**logits, **io, "temperature": 4.0, "alpha": weights["hard_target"]}
    term = {
        "criterion": {"key": "KDLoss", "kwargs": {**kwargs, "beta": weights["kd"]}},
        "weight": 1.0,
    }
    return {"teacher": {}, "student": {}, "terms": {"kd": term}}


def fitnet_config() -> Config:
    """Configure the hint on the middle level, through a ConvReg."""
    weights = weights_of("fitnet")
    hint = last_blocks(fresh(TEACHER, 0))[1]
    guided = last_blocks(fresh(STUDENT, 0))[1]
    wrapper = {
        "input": {"is_from_teacher": False, "module_path": "regressor", "io": "output"},
        "target": {"is_from_teacher": True, "module_path": hint, "io": "output"},
    }
    term = {
        "criterion": {"key": "MSELoss", "kwargs": {}},
        "criterion_wrapper": {"key": "SimpleLossWrapper", "kwargs": wrapper},
        "weight": weights["fitnet"],
    }
    student = {
        "auxiliary_model_wrapper": {"key": "GuidedStudent", "kwargs": {"guided": guided}},
        "forward_hook": {"output": [f"student_model.{guided}", "regressor"]},
    }
    return {
        "teacher": {"forward_hook": {"output": [hint]}},
        "student": student,
        "terms": {"hint": term, "hard": hard_loss(weights["hard_target"])},
    }


def reviewkd_config() -> Config:
    """Configure attention-based fusions and hierarchical context losses."""
    weights = weights_of("reviewkd")
    theirs = [(path, "input") for path in last_blocks(fresh(TEACHER, 0))] + [
        ("head.pool", "output")
    ]
    own = [(f"student_model.{path}", "input") for path in last_blocks(fresh(STUDENT, 0))]
    own.append(("student_model.head.pool", "output"))
    channels = (*CHANNELS, CHANNELS[-1])
    fusions = [
        {"io": io, "path": path, "kwargs": _fusion(width)}
        for (path, io), width in zip(own, channels, strict=True)
    ]
    terms = {
        f"level{index}": {
            "criterion": {
                "key": "HierarchicalContextLoss",
                "kwargs": {
                    "student_module_path": f"abf_modules.{len(own) - 1 - index}",
                    "student_module_io": "output",
                    "teacher_module_path": path,
                    "teacher_module_io": io,
                },
            },
            "weight": weights["reviewkd"],
        }
        for index, (path, io) in enumerate(theirs)
    }
    made = [f"abf_modules.{index}" for index in range(len(own))]
    student = {
        "auxiliary_model_wrapper": {
            "key": "Student4KnowledgeReview",
            "kwargs": {"sizes": list(SIZES), "abfs": fusions},
        },
        "forward_hook": {
            "input": [path for path, io in own if io == "input"],
            "output": [own[-1][0], *made],
        },
    }
    teacher_hooks = {"input": [p for p, io in theirs if io == "input"], "output": ["head.pool"]}
    return {
        "teacher": {"forward_hook": teacher_hooks},
        "student": student,
        "terms": {**terms, "hard": hard_loss(weights["hard_target"])},
    }


def _fusion(width: int) -> Config:
    return {"in_channels": width, "mid_channels": CHANNELS[-1], "out_channels": width}


def register_guided() -> None:
    """Register a student with a regressor after its guided layer."""
    from torchdistill.models.adaptation import ConvReg
    from torchdistill.models.registry import register_auxiliary_model_wrapper
    from torchdistill.models.wrapper import AuxiliaryModelWrapper

    class GuidedStudent(AuxiliaryModelWrapper):  # type: ignore[misc]
        def __init__(self, student_model: nn.Module, guided: str, **_: Any) -> None:
            super().__init__()
            self.student_model, self._path = student_model, f"student_model.{guided}"
            self.regressor = ConvReg(CHANNELS[1], CHANNELS[1], 1, 1, 0)

        def forward(self, *args: Any) -> Any:
            return self.student_model(*args)

        def secondary_forward(self, io_dict: Config) -> None:
            self.regressor(io_dict[self._path]["output"])

    register_auxiliary_model_wrapper(GuidedStudent)


def make_box(method: str, folder: Path, workers: int) -> Any:
    """Build the DistillationBox for the method."""
    import torchvision.datasets  # noqa: F401, I001 -- torchdistill looks for it among loaded modules
    import torchdistill.datasets.util
    import torchdistill.losses.high_level
    import torchdistill.losses.mid_level
    import torchdistill.models.adaptation
    import torchdistill.models.wrapper  # noqa: F401 -- registers the names in configurations
    from torchdistill.core.distillation import get_distillation_box

    register_guided()
    makers = {"kd": kd_config, "fitnet": fitnet_config, "reviewkd": reviewkd_config}
    config = makers[method]()
    batches = {
        "dataset_id": "train",
        "requires_supp": True,
        "sampler": {"class_or_func": RandomSampler, "kwargs": {}},
        "kwargs": {"batch_size": BATCH, "num_workers": workers, "drop_last": True},
    }
    options = {"lr": LEARNING_RATE, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY}
    train = {
        "num_epochs": 1,
        "train_data_loader": batches,
        "teacher": {
            "forward_proc": "forward_batch_only",
            "requires_grad": False,
            **config["teacher"],
        },
        "student": {"forward_proc": "forward_batch_only", **config["student"]},
        "optimizer": {"key": "SGD", "kwargs": options},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"model_term": {"weight": 0}, "sub_terms": config["terms"]},
            "func2extract_model_loss": "extract_model_loss_dict",
        },
    }
    data = {"train": Pictures(*load_arrays(folder))}
    device = torch.device("cpu")
    teacher, student = load_teacher(folder), fresh(STUDENT, seed=0)
    return get_distillation_box(teacher, student, data, train, device, [], False, 1)


def speed(folder: Path, method: str, steps: int, workers: int) -> Speed:
    """Measure the first epoch's steps in the loop of the examples, including data loading."""
    box = make_box(method, folder, workers)
    box.pre_epoch_process(epoch=0)
    batches = iter(box.train_data_loader)

    def step() -> bool:
        batch = next(batches, None)
        if batch is None:
            return False
        sample_BCHW, labels_B, extra = batch
        box.pre_forward_process()
        loss = box.forward_process(sample_BCHW, labels_B, extra)
        box.post_forward_process(loss=loss)
        loss.item()  # the examples' metric logger reads it every step
        return True

    return time_steps(step, steps)


def main() -> None:
    """Measure and print one line of JSON."""
    given = side_arguments("Measure the speed of torchdistill.").parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(given.threads)
    print(speed(given.folder, given.method, given.steps, given.workers).line())


if __name__ == "__main__":
    main()
