"""The proof harness from the command line: ``python tests/chaos/fairlead_chaos --help``.

``soak`` runs campaigns and writes their result files; ``replay`` carries out one plan and says
what is wrong with it; ``trace`` shows what an undisturbed run does, by number. Each brings up the
control plane of the cluster tests, or uses the running one, and takes away what it made there.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[0] = str(ROOT / "tests" / "chaos")  # the package, not its folder

from fairlead_chaos import (  # noqa: E402
    faults,
    lab,
    pages,
    plans,
    results,
    rights,
    soak,
    transcript,
    usage,
)
from fairlead_chaos.faults import Plan, PlanError  # noqa: E402
from fairlead_chaos.lab import Lab  # noqa: E402
from fairlead_chaos.scenario import Scenario  # noqa: E402
from fairlead_chaos.scenarios import catalogue  # noqa: E402
from fairlead_chaos.soak import Chaos, Course  # noqa: E402

EVERYTHING = 10**9


class UsageError(Exception):
    """What was asked for can't be done; the message says why."""


def positive(text: str) -> int:
    """A number from 1, of the command line."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python tests/chaos/fairlead_chaos", description=__doc__.split("\n")[0]
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="show every scenario")
    trace = verbs.add_parser("trace", help="tell a scenario undisturbed, show requests and events")
    trace.add_argument("scenario")
    replay = verbs.add_parser("replay", help="carry out plans and judge them; exit 1 on a finding")
    replay.add_argument("plans", type=Path, help="file of plans, JSON, one a line; - is stdin")
    replay.add_argument("--times", type=int, default=1, help="how often each")
    soaking = verbs.add_parser("soak", help="run campaigns, write a result file of each")
    soaking.add_argument("--campaign", nargs="+", choices=soak.CAMPAIGNS, default=soak.CAMPAIGNS)
    soaking.add_argument("--scenario", nargs="+", help="these only; all where absent")
    soaking.add_argument("--most", type=positive, default=EVERYTHING, help="runs of each campaign")
    soaking.add_argument("--seed", type=int, default=1, help="draws the plans where not all run")
    soaking.add_argument(
        "--write", type=Path, help="folder for the result files; else none is kept"
    )
    drawing = verbs.add_parser("sample", help="draw plans of all campaigns, one a line, to stdout")
    drawing.add_argument("--scenario", nargs="+", help="these only; all where absent")
    drawing.add_argument("--each", type=int, default=24, help="plans of each campaign")
    drawing.add_argument("--seed", type=int, default=1)
    verbs.add_parser("pages", help="write docs/testing.md from the result files")
    for verb in (trace, replay, soaking, drawing):
        verb.add_argument("--parallel", type=positive, default=16, help="runs at the same time")
        verb.add_argument("--logs", type=Path, help="folder for logs of the operator")
    return parser.parse_args()


def named(wanted: Iterable[str] | None) -> dict[str, Scenario]:
    """The scenarios of these names, all of them where none is given; raises UsageError."""
    names = list(catalogue.ALL if wanted is None else dict.fromkeys(wanted))
    if unknown := [name for name in names if name not in catalogue.ALL]:
        raise UsageError(f"no scenario {', '.join(unknown)}; see: list")
    return {name: catalogue.ALL[name] for name in names}


def say(line: str) -> None:
    """Progress and findings, at once; stdout is for what was asked for."""
    print(line, file=sys.stderr, flush=True)


async def in_lab(
    asked: argparse.Namespace,
    scenarios: dict[str, Scenario],
    work: Callable[[Lab, Course], Awaitable[int]],
) -> int:
    """Do work in a lab; its folder stays where --logs names one."""
    with tempfile.TemporaryDirectory(prefix="fairlead-chaos-") as folder:
        logs = asked.logs or Path(folder) / "logs"
        most, seed = getattr(asked, "most", EVERYTHING), getattr(asked, "seed", 0)
        course = Course(asked.parallel, most, seed, say, logs)
        runs = Path(folder) / "runs"
        runs.mkdir()
        stopped = asyncio.current_task()
        assert stopped is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.cancel)
        plane, told = lab.bring_up(), scenarios.values()
        async with lab.open_lab(plane, told, runs, asked.parallel) as opened:
            return await work(opened, course)


async def learned(made: Chaos, scenarios: Iterable[str], num_references: int) -> list[str]:
    """Learn the references; what is wrong with them is said at once."""
    wrong = soak.undisturbed(await made.learn(scenarios, num_references))
    for line in wrong:
        say(f"FOUND undisturbed {line}")
    return wrong


async def trace(asked: argparse.Namespace) -> int:
    """Tell one scenario."""
    scenarios = named([asked.scenario])

    async def work(opened: Lab, course: Course) -> int:
        made = soak.chaos(opened, scenarios, course)
        wrong = await learned(made, scenarios, 2)
        for line in transcript.lines(made.traces[asked.scenario][0]):
            print(line)
        return int(bool(wrong))

    return await in_lab(asked, scenarios, work)


async def sample(asked: argparse.Namespace) -> int:
    """Draw plans, without carrying them out."""
    scenarios = named(asked.scenario)

    async def work(opened: Lab, course: Course) -> int:
        made = soak.chaos(opened, scenarios, course)
        wrong = await learned(made, scenarios, 2)
        for makers in plans.CAMPAIGNS.values():
            for plan in plans.drawn(made.plans(makers), asked.each, asked.seed):
                print(plan.to_json())
        return int(bool(wrong))

    return await in_lab(asked, scenarios, work)


def read_plans(path: Path) -> list[Plan]:
    """Plans of a file, one a line; raises UsageError with the line's number."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(faults.from_json(line))
        except PlanError as error:
            raise UsageError(f"{path}:{number}: {error}") from None
    return found


async def replay(asked: argparse.Namespace) -> int:
    """Carry out plans."""
    chosen = [plan for plan in read_plans(asked.plans) for _ in range(asked.times)]
    scenarios = named(plan.scenario for plan in chosen)

    async def work(opened: Lab, course: Course) -> int:
        made = soak.chaos(opened, scenarios, course)
        wrong = await learned(made, scenarios, 2)
        tally = await made.run(chosen)
        say(
            f"{tally.happened.total()} happened, {len(tally.failed)} of them with findings;"
            f" of {tally.missed.total()} the point did not come"
        )
        return int(bool(wrong or tally.failed or tally.missed))

    return await in_lab(asked, scenarios, work)


async def soaked(asked: argparse.Namespace) -> int:
    """Run campaigns."""
    scenarios = named(asked.scenario)
    with_faults = [name for name in asked.campaign if name in plans.CAMPAIGNS]

    async def work(opened: Lab, course: Course) -> int:
        made = soak.chaos(opened, scenarios, course)
        bad, compared = False, []
        async with usage.following(opened) as used:
            undisturbed = await learned(made, scenarios, 3) if with_faults else []
            for name in asked.campaign:
                if name == soak.TRANSITIONS:
                    body, tally = await soak.ways(opened, course), None
                else:
                    body, tally = await soak.faults(made, name, course)
                    body["undisturbed"] = undisturbed
                body["rights"], comparison = soak.rights(used, course)
                compared.append(comparison)
                bad = bad or soak.is_bad(body)
                say(f"{name}: {body['seconds']} s, {len(body['findings'])} with findings")
                if asked.write:
                    results.write(asked.write / f"{name}.json", body)
                if asked.write and tally:
                    results.write_plans(asked.write / f"{name}.plans.jsonl", tally)
        # A few scenarios or campaigns can't use every right; all of them must.
        is_all = asked.scenario is None and set(asked.campaign) == set(soak.CAMPAIGNS)
        unused = rights.together(compared).unused if is_all else ()
        for right in sorted(unused):
            say(f"FOUND a right that no run used: {right}")
        return int(bad or bool(unused))

    return await in_lab(asked, scenarios, work)


def main() -> int:
    """Run one verb; 2 is a wrong call."""
    asked = arguments()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    try:
        if asked.verb == "list":
            for scenario in catalogue.ALL.values():
                print(f"{scenario.kind:13} {scenario.name}")
            return 0
        if asked.verb == "pages":
            pages.PAGE.write_text(pages.page(pages.read(pages.FOLDER)))
            return 0
        verb = {"trace": trace, "replay": replay, "soak": soaked, "sample": sample}[asked.verb]
        return asyncio.run(verb(asked))
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("stopped; what it made on the control plane is gone", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
