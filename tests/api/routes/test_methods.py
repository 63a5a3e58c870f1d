"""The list of methods: all there are, what each needs, and a schema that a form can be made of."""

from kdcore.spec.methods import KNOBS
from tests.api.makers import ApiHarness, ok


def test_every_method_lists_its_needs(harness: ApiHarness) -> None:
    listed = {one["name"]: one for one in ok(harness.http.get("/v1/methods"))["data"]}
    assert list(listed) == list(KNOBS)
    dkd, crd, hard = listed["dkd"], listed["crd"], listed["hard_target"]
    assert (dkd["needs_labels"], dkd["needs_same_classes"], dkd["least_classes"]) == (True, True, 3)
    assert (crd["needs_labels"], crd["needs_same_classes"], crd["least_batch"]) == (False, False, 2)
    assert (hard["needs_teacher"], hard["least_classes"], hard["least_batch"]) == (False, 2, 1)


def test_every_knob_has_a_description_and_a_default(harness: ApiHarness) -> None:
    for method in ok(harness.http.get("/v1/methods"))["data"]:
        for name, knob in method["knobs"]["properties"].items():
            if name != "method":
                assert knob.get("description") and "default" in knob, (method["name"], name)
