"""Builds docs/methods.md: the template's text, with tables and a section per method."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.results_file import MethodCosts, newest
from kdcore.spec.methods import KNOBS
from scripts.methods_docs import facts
from scripts.methods_docs.advice import ADVICE

PAGE = facts.ROOT / "docs" / "methods.md"
TEMPLATE = Path(__file__).with_name("template.md")
GROUPS = {
    "labels": "Labels",
    "logits": "Logits",
    "maps": "Feature maps",
    "relations": "Relations between samples",
}


def build() -> str:
    """Build the page. Raises KeyError for a method without advice."""
    costs = newest()
    methods = sorted(KNOBS, key=lambda method: list(GROUPS).index(facts.reads(method)))
    parts = {
        "methods": _overview(methods, costs),
        "measured": _measured(costs),
        "shared": _knobs(facts.shared_knobs()),
        "same_classes": _names(m for m, knobs in KNOBS.items() if knobs.needs_same_classes),
        "labels": _names(m for m, knobs in KNOBS.items() if knobs.needs_labels),
        "sections": "\n\n".join(_sections(methods)),
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    return page


def _overview(methods: Sequence[str], costs: MethodCosts | None) -> str:
    measured = costs.methods if costs else {}
    rows = []
    for method in methods:
        authors, year = facts.paper(method)
        cost = f"{measured[method].ratio:.1f}x" if method in measured else "?"
        rows.append(
            (
                f"[`{method}`](#{method})",
                f"{authors} {year}".strip() or "-",
                facts.reads(method),
                ", ".join(facts.needs(method)) or "-",
                cost,
                ADVICE[method].when,
            )
        )
    return _table(("method", "paper", "reads", "needs", "cost", "use it when"), rows)


def _measured(costs: MethodCosts | None) -> str:
    if costs is None:
        return " (not measured yet: `python -m bench.method_cost`)."
    ratios = {method: cost.ratio for method, cost in costs.methods.items()}
    height, width = costs.image_size
    threads = "1 thread" if costs.hardware.threads == 1 else f"{costs.hardware.threads} threads"
    text = (
        f": {costs.teacher} teaching {costs.student}, {height}x{width}, batch {costs.batch_size}, "
        f"float32, on {threads} of an {costs.hardware.cpu} ({costs.hardware.cores} cores), torch "
        f"{costs.hardware.torch}, {costs.date:%-d %B %Y}, median of {costs.repeats} interleaved "
        "steps (`python -m bench.method_cost`)."
    )
    if "kd" in ratios:
        text += (
            " Nearly all that `kd` adds is the teacher's forward pass "
            f"({ratios['kd'] - 1:.1f}x); a teacher whose logits are not read runs only as far as "
            "its deepest tap. Other work ran on the machine: differences below 0.2 are not "
            "significant. On a GPU and for other pairs the ratios differ."
        )
    return text


def _sections(methods: Sequence[str]) -> Iterable[str]:
    for group, title in GROUPS.items():
        yield f"## {title}"
        for method in methods:
            if facts.reads(method) == group:
                yield _section(method)


def _section(method: str) -> str:
    words, advice = facts.words(method), ADVICE[method]
    blocks = [
        f"### `{method}`",
        words.text,
        f"*{words.letters}*" if words.letters else "",
        f"**Departures from the paper**: {words.departures}",
        " ".join(facts.habits(method)),
        facts.notes(method),
        _knobs(facts.own_knobs(method)),
        f"**Use it when** {advice.when}. **With**: {advice.beside}",
        f"```json\n{advice.example}\n```",
    ]
    return "\n\n".join(filter(None, blocks))


def _knobs(knobs: Sequence[facts.Knob]) -> str:
    rows = [(f"`{k.name}`", k.default, k.range, k.description) for k in knobs]
    return _table(("knob", "default", "range", "what it is"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _names(methods: Iterable[str]) -> str:
    *before, last = (f"`{method}`" for method in methods)
    return f"{', '.join(before)} and {last}" if before else last
