"""Example bodies of the OpenAPI document, by operation; tests hold them valid."""

from typing import Any

_TEACHER = "mdl_01k2v6r8m3q4t5w6x7y8z9a0b1"
_DATASET = "ds_01k2v6r8m3q4t5w6x7y8z9a0b1"
_UPLOAD = "upl_01k2v6r8m3q4t5w6x7y8z9a0b1"

EXAMPLES: dict[str, dict[str, dict[str, Any]]] = {
    "createUpload": {
        "known_hash": {"size": 1_048_576, "sha256": "ab" * 32, "filename": "teacher.safetensors"},
        "plain": {"size": 1_048_576},
    },
    "completeUpload": {"checked": {"sha256": "ab" * 32}},
    "createModel": {
        "teacher": {
            "name": "digits teacher",
            "upload": _UPLOAD,
            "architecture": "resnet20",
            "num_classes": 10,
            "input": {"channels": 1, "height": 28, "width": 28, "mean": [0.13], "std": [0.31]},
        },
        "state_dict": {
            "name": "timm teacher",
            "upload": _UPLOAD,
            "format": "state_dict",
            "architecture": "timm/resnet18",
            "num_classes": 100,
        },
    },
    "createDataset": {"digits": {"name": "digits", "upload": _UPLOAD, "format": "npz"}},
    "submitJob": {
        "kd": {
            "name": "resnet8 from resnet20",
            "teachers": [{"model": _TEACHER}],
            "student": {"architecture": "resnet8"},
            "dataset": _DATASET,
            "stages": [
                {
                    "epochs": 6,
                    "objectives": [
                        {"method": "hard_target", "weight": 0.1},
                        {"method": "kd", "weight": 0.9, "temperature": 4.0},
                    ],
                }
            ],
        },
        "fitnet_in_two_stages": {
            "teachers": [{"model": _TEACHER}],
            "student": {"architecture": "resnet8"},
            "dataset": _DATASET,
            "stages": [
                {"epochs": 2, "objectives": [{"method": "fitnet"}]},
                {"epochs": 6, "objectives": [{"method": "kd"}]},
            ],
        },
        "plain_training": {
            "student": {"architecture": "resnet20"},
            "dataset": _DATASET,
            "stages": [{"epochs": 6, "objectives": [{"method": "hard_target"}]}],
        },
    },
    "createKey": {"reader": {"name": "dashboard", "scopes": ["read"], "expires_in_s": 2_592_000}},
}
