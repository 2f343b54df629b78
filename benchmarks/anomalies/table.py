"""Put what is in `results.json` into `docs/anomalies.md`, as a table between its two marks."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[2] / "docs" / "anomalies.md"
START, STOP = "<!-- benchmarks/anomalies/table.py: start -->\n", "<!-- stop -->\n"
_DIFFERENCE = "contractive less plain"


def table(trials: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over splits of the AUROC of each detector, a line a kind of anomaly."""
    detectors = [*trials[0]["detectors"]]
    lines = ["| table | anomalies | " + " | ".join([*detectors, _DIFFERENCE]) + " |"]
    lines.append("|---" * (len(detectors) + 3) + "|")
    kinds = list(dict.fromkeys((trial["table"], trial["anomaly"]) for trial in trials))
    of_kind = {kind: [trial for trial in trials if (trial["table"], trial["anomaly"]) == kind] for kind in kinds}
    for (name, anomaly), own in of_kind.items():
        lines.append(_line(name, anomaly, detectors, [_values(trial) for trial in own]))
    for name in dict.fromkeys(name for name, _ in kinds):
        parts = [own for (of, _), own in of_kind.items() if of == name]
        if len(parts) > 1:
            by_seed = [
                {detector: mean(_values(trial)[detector] for trial in split) for detector in [*detectors, _DIFFERENCE]}
                for split in zip(*parts, strict=True)
            ]
            lines.append(_line(name, f"mean of {len(parts)}", detectors, by_seed))
    return "\n".join(lines) + "\n"


def page(text: str, found: dict[str, Any]) -> str:
    """The page with its table made anew.

    Raises:
        ValueError: if a mark is missing.
    """
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(STOP)
    if not (mark and end):
        raise ValueError(f"{PAGE.name} must hold the marks {START.strip()!r} and {STOP.strip()!r}.")
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{before}{START}\n{table(found['trials'])}\nMeasured with {versions}.\n{STOP}{after}"


def write_page() -> None:
    """Write the page again."""
    PAGE.write_text(page(PAGE.read_text(), json.loads(RESULTS.read_text())))


def _values(trial: dict[str, Any]) -> dict[str, float]:
    values = {name: found["auroc"] for name, found in trial["detectors"].items()}
    return values | {_DIFFERENCE: values["contractive"] - values["auto-encoder"]}


def _line(name: str, anomaly: str, detectors: list[str], values: list[dict[str, float]]) -> str:
    cells = []
    best = max(detectors, key=lambda detector: mean(split[detector] for split in values))
    for column in [*detectors, _DIFFERENCE]:
        own = [split[column] for split in values]
        sign = "+" if column == _DIFFERENCE else ""
        cell = f"{mean(own):{sign}.3f} ± {stdev(own):.3f}"
        cells.append(f"**{cell}**" if column == best else cell)
    return f"| {name} | {anomaly} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    write_page()
