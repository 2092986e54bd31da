"""`python -m tests.soak MINUTES [--seed N] [--out FILE] [--figures]`: soak the daemon; exit 1 where it lost, leaked or miscounted anything."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.__main__ import FIGURES
from tests.bench.figures import update
from tests.soak import report
from tests.soak.run import soak


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.soak")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, help="a folder for report.json, readings.csv and the daemon's log")
    parser.add_argument("--figures", action="store_true", help="write docs/figures.json")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="stethos-soak-") as name:
        outcome = soak(Path(name), chosen.minutes, chosen.seed)
        found = report.findings(outcome)
        if chosen.out is not None:
            chosen.out.mkdir(parents=True, exist_ok=True)
            whole = report.document(found, outcome, chosen.seed)
            (chosen.out / "report.json").write_text(json.dumps(whole, indent=2) + "\n")
            (chosen.out / "readings.csv").write_text(report.readings(outcome))
            shutil.copy(Path(name) / "agent.log", chosen.out / "agent.log")
    print(report.table(found, outcome))
    if chosen.figures:
        update(FIGURES, "soak", report.figures(found, outcome), f"make soak MINUTES={chosen.minutes:g}")
    return 0 if report.passed(found) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
