"""Advice that cannot be derived from the code: when to use a method, and with what."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """Advice on one method; `example`: a stage, or a spec's stages, in formatted JSON."""

    when: str
    beside: str
    example: str


def _beside_labels(objective: str, labels: str = "") -> str:
    return (
        f'{{"epochs": 240, "objectives": [{{"method": {objective}}}, '
        f'{{"method": "hard_target"{labels}}}]}}'
    )


def _first(objective: str, *then: str) -> str:
    last = ", ".join(f'{{"method": {o}}}' for o in (*then, '"hard_target"'))
    return (
        f'{{"stages": [{{"epochs": 30, "objectives": [{{"method": {objective}}}]}},\n'
        f'            {{"epochs": 240, "objectives": [{last}]}}]}}'
    )


ADVICE: dict[str, Advice] = {
    "hard_target": Advice(
        "there are labels: it is the task itself",
        "any method below, in the same stage or an earlier one. Alone it is plain training.",
        '{"epochs": 240, "objectives": [{"method": "hard_target"}]}',
    ),
    "kd": Advice(
        "the teacher knows the student's classes: try this first",
        "`hard_target` at a small weight; any method that reads maps or relations.",
        _beside_labels('"kd", "weight": 0.9', ', "weight": 0.1'),
    ),
    "dkd": Advice(
        "the teacher is so certain of the right class that `kd` conveys little about the others",
        "`hard_target`, with a warm-up if beta is large; in place of `kd`, not beside it.",
        _beside_labels('"dkd", "beta": 8, "warmup_epochs": 20'),
    ),
    "dist": Advice(
        "the teacher is much stronger than the student can become",
        "`hard_target`; in place of `kd`. Use large batches: it correlates along them.",
        _beside_labels('"dist", "temperature": 4'),
    ),
    "standardized_kd": Advice(
        "the logits of teacher and student differ widely in range",
        "`hard_target` at a small weight; in place of `kd`.",
        _beside_labels('"standardized_kd"', ', "weight": 0.1'),
    ),
    "fitnet": Advice(
        "a thin, deep student is hard to train: give it a good start",
        "alone in a first stage, then `kd` and `hard_target` (the paper's soft term, 4 falling to "
        "1 at T 3, lacks the factor T^2 of `kd`: 4/9 and 1/9 here); or beside `hard_target`, with "
        "a weight of about 100.",
        _first(
            '"fitnet"',
            '"kd", "weight": 0.444, "weight_end": 0.111, "temperature": 3',
        ),
    ),
    "at": Advice(
        "both networks are of the same family, and steps must stay cheap",
        "`hard_target`, and `kd` if the classes are the same. It can hurt if the networks differ.",
        _beside_labels('"at"'),
    ),
    "fsp": Advice(
        "both networks have the same widths and differ in depth",
        "alone in a first stage, then `hard_target`.",
        _first('"fsp"'),
    ),
    "overhaul": Advice(
        "the networks are similar and end their stages with a ReLU",
        "`hard_target`. A small or dissimilar student may collapse: lower the weight.",
        _beside_labels('"overhaul"'),
    ),
    "reviewkd": Advice(
        "accuracy matters most, and a slower step is acceptable",
        "`hard_target`, with a warm-up on small images.",
        _beside_labels('"reviewkd", "weight": 5, "warmup_epochs": 20'),
    ),
    "ab": Advice(
        "the student needs a good start and both networks have ReLUs",
        "alone in a first stage, then `hard_target`, with or without `kd`.",
        _first('"ab"'),
    ),
    "ft": Advice(
        "the teacher's last map is wide and should be condensed before it is taught",
        "a stage that trains the paraphraser, then `hard_target` beside it.",
        _first('"ft", "weight": 1, "part": "paraphraser"', '"ft"'),
    ),
    "nst": Advice(
        "maps should be matched without extra modules that need training",
        "`hard_target`. Its time grows with the product of both channel counts.",
        _beside_labels('"nst"'),
    ),
    "vid": Advice(
        "the networks differ, so that some channels cannot be matched",
        "`hard_target`, and `kd` if the classes are the same.",
        _beside_labels('"vid"'),
    ),
    "sp": Advice(
        "widths, sizes or classes differ",
        "`hard_target`, and `kd` if the classes are the same.",
        _beside_labels('"sp"'),
    ),
    "pkt": Advice(
        "the student's features will be used for search, where near samples matter",
        "`hard_target`. Alone it trains the features only, without labels.",
        _beside_labels('"pkt"'),
    ),
    "cc": Advice(
        "you want to add relations to `kd` at little cost",
        "`hard_target` and `kd`.",
        '{"epochs": 240, "objectives": [{"method": "cc"}, {"method": "kd"},\n'
        '                               {"method": "hard_target"}]}',
    ),
    "rkd": Advice(
        "distances between features matter, as in metric learning",
        "`hard_target`. Alone it trains the features only, without labels.",
        _beside_labels('"rkd"'),
    ),
    "crd": Advice(
        "features should transfer to other tasks, and two vectors per sample fit into memory",
        "`hard_target`, and `kd` if the classes are the same.",
        _beside_labels('"crd"'),
    ),
    "simkd": Advice(
        "the teacher's classifier is good, and a few more layers in the student are acceptable",
        "nothing: alone it needs no labels. The exported student ends with the teacher's "
        "classifier.",
        '{"epochs": 240, "objectives": [{"method": "simkd"}]}',
    ),
}
