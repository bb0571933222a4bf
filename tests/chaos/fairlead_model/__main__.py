"""Search the states that the planners can reach, from the command line.

``python tests/chaos/fairlead_model --states 1000000 --seed 1 --write model.json`` searches all
scenarios together for so many different states, says every ten thousand how it stands, and writes
what it counted. A violation is printed with the shortest trace found, kept in a file of its own,
and makes the exit code 1; ``--replay FILE`` lets such a trace happen again, event by event.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

CHAOS = str(Path(__file__).resolve().parents[1])
if CHAOS not in sys.path:
    sys.path[0] = CHAOS  # in the place of this folder, whose modules have names of Python's own

from fairlead_chaos import results  # noqa: E402
from fairlead_model import trace  # noqa: E402
from fairlead_model.campaign import search, shares  # noqa: E402
from fairlead_model.explore import Trace  # noqa: E402
from fairlead_model.planted import BUGS  # noqa: E402
from fairlead_model.scenarios import SCENARIOS  # noqa: E402
from fairlead_model.state import Step  # noqa: E402


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python tests/chaos/fairlead_model", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--states", type=int, default=1_000_000, help="in all scenarios together")
    parser.add_argument("--seed", type=int, help="draw the next state; without: breadth first")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), nargs="+", help="default: all")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant a bug, in the scenario for it")
    parser.add_argument("--processes", type=int, default=1, help="scenarios searched at a time")
    parser.add_argument("--write", type=Path, metavar="FILE", help="result file (JSON)")
    parser.add_argument(
        "--traces", type=Path, default=Path(), metavar="FOLDER", help="where violations are kept"
    )
    parser.add_argument("--replay", type=Path, metavar="TRACE.json", help="let one happen again")
    return parser.parse_args(argv)


def campaign(asked: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every scenario's counts, as they come."""
    names = asked.scenario or sorted(SCENARIOS)
    if asked.bug:
        names = [BUGS[asked.bug].scenario]
    plan = shares(names, asked.states)
    work = [(name, plan[name], asked.seed, asked.bug or "") for name in names]
    if asked.processes == 1:
        for each in work:
            yield each[0], search(*each)
        return
    with ProcessPoolExecutor(asked.processes, get_context("spawn")) as pool:
        futures = [(each[0], pool.submit(search, *each)) for each in work]
        for name, future in futures:
            yield name, future.result()


def keep(folder: Path, name: str, recorded: dict[str, Any]) -> None:
    """Print a violation and keep its trace."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"violation-{name}.json"
    path.write_text(json.dumps(recorded, indent=1) + "\n")
    print(f"{name}: VIOLATION: {recorded['harm']}")
    for label in recorded["events"]:
        print(f"  {' '.join(label)}")
    print(f"again: python tests/chaos/fairlead_model --replay {path}", flush=True)


def again(path: Path) -> int:
    """Let a trace happen again; 1 where something is wrong with it still."""
    recorded = trace.read(path)
    model = SCENARIOS[recorded.scenario].model(BUGS[recorded.bug] if recorded.bug else None)
    happened: Trace = recorded.violation.trace

    def tell(step: Step) -> None:
        print(f"  {' '.join(step.label)}{': ' + step.harm if step.harm else ''}")

    harm = trace.replay(model, happened, recorded.violation.calm, tell)
    print(harm or "nothing is wrong with it (any more)")
    return int(bool(harm))


def main(argv: list[str] | None = None) -> int:
    """Search or replay; returns the exit code."""
    asked = arguments(argv)
    if asked.replay is not None:
        return again(asked.replay)
    head, begin, scenarios = results.head(asked.seed or 0), time.monotonic(), {}
    for name, counts in campaign(asked):
        scenarios[name] = counts
        if "violation" in counts:
            keep(asked.traces, name, counts["violation"])
    summed = {
        key: sum(counts[key] for counts in scenarios.values())
        for key in ("states", "transitions", "rests", "plans")
    }
    violations = sum("violation" in counts for counts in scenarios.values())
    summed |= {"violations": violations, "seconds": round(time.monotonic() - begin, 1)}
    print(", ".join(f"{value:,} {key}" for key, value in summed.items()))
    if asked.write is not None:
        results.write(asked.write, head | summed | {"scenarios": scenarios})
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
