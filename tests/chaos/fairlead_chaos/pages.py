"""Writes docs/testing.md from the result files of the campaigns.

Pure but for ``read``: every count on the page comes from a file that a run wrote, with its commit
and seed. ``python tests/chaos/fairlead_chaos pages`` writes it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fairlead_chaos import rights
from fairlead_chaos.results import MOST_MISSED, MOST_STARVED, MOST_UNREACHED, ROOT
from fairlead_chaos.rights import Comparison

FOLDER: Final = ROOT / "docs" / "testing"
PAGE: Final = ROOT / "docs" / "testing.md"
Result = Mapping[str, Any]

_HEAD: Final = """\
# How Fairlead is tested

An operator is trusted for how it is tested. This page is written from the result files in
[testing/](testing/) by `.venv/bin/python tests/chaos/fairlead_chaos pages`, they by `make soak`:
nobody types a number here.

| tier | needs | command |
|---|---|---|
| fast | Python, and helm, compiled the first time | `make test-fast` |
| cluster | root; a real API server, simulated nodes and a real one | `make test-cluster` |
| e2e | the whole cluster with images | `make test-e2e` |
| soak | hours | `make soak` |

## The proof harness

`tests/chaos` runs the real operator against a real API server, as a process that can be killed,
under the chart's own rights. Pods are ended by simulated nodes (kwok), in milliseconds, with the
messages that the trainer writes. Between the operator and the API server stands a proxy that
kills, refuses, forgets and remembers by a plan. [Its README](../tests/chaos/README.md) says how to
replay a plan, and how to add a scenario.

Each scenario is first told undisturbed, three times. Where those runs differ by themselves (times,
uids), a difference is allowed, in that shape only: the place is masked. Then each plan's run must
end in the same state, with the same number of creations and deletions of each object, no orphans,
no complaint in the log that the plan doesn't explain, no write without effect, and silence at
rest.
"""
_CAMPAIGNS: Final = {
    "crash": "killed before a request, after its commit, after its reply; before and after an event"
    " is told; twice in a row",
    "refuse": "a request answered 409, 429, 500 or 504, or its reply lost",
    "stale": "events held back, never told, told again; old lists after a restart; streams cut or"
    " stalled",
}

_CAMPAIGNS_SAY: Final = f"""\
Plans are drawn by the seed from all that the reference traces allow, evenly over scenarios and
kinds of fault; `soak` without `--most` runs every one. A run is made again whose point did not
come, since timing moves it, and one that was starved: its operator could not renew its lease in
time, the API server failed to answer, or had forgotten the past that the plan shows. What does not
get better so is repeated once all others are done, one by one. A campaign fails where more than
{MOST_STARVED:.0%} of its plans were starved, more than {MOST_UNREACHED:.0%} were not carried out at
once, or more than {MOST_MISSED:.0%} never were. Only plans that happened count as runs; all plans,
with what came out, stand beside the result files, ready for `replay` at the commit that is named:
what an operator writes may change. A commit that can't be found is of a history that was written
anew since; its plans can only be tried at a later one, where a point may never come.
"""


def page(found: Mapping[str, Result]) -> str:
    """The whole page, from result files by their names without ``.json``."""
    parts = [_HEAD, _campaigns(found)]
    parts += [
        write(found[name])
        for name, write in {
            "transitions": _transitions,
            "model": _model,
            "admission": _admission,
        }.items()
        if name in found
    ]
    if audited := {name: result["rights"] for name, result in found.items() if "rights" in result}:
        parts.append(_rights(audited))
    return "\n".join(parts)


def _campaigns(found: Mapping[str, Result]) -> str:
    rows = [
        (
            f"**{name}**: {says}",
            f"{result['happened']} of {result['possible']:,}",
            str(result["scenarios"]),
            str(result["with_findings"]),
            str(result["missed"]),
            _share(result, "unreached"),
            _share(result, "starved"),
            str(sum(sum(kinds.values()) for kinds in result["masks"].values())),
            _of(result),
        )
        for name, says in _CAMPAIGNS.items()
        if (result := found.get(name)) is not None
    ]
    counts = ("with findings", "point never came", "not at once", "starved", "masked")
    head = ("campaign", "runs, of possible plans", "scenarios", *counts, "commit, seed")
    return f"## Campaigns\n\n{_table(head, rows)}\n{_CAMPAIGNS_SAY}"


def _transitions(result: Result) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in result["by_kind"].items())
    back = result["back_from"]
    return f"""\
## Spec transitions

{result["gone"]} of {result["possible"]} ways from one spec to another ({kinds}), each end
compared with those of {result["from_scratch"]} resources that were made so, and watched for writes
at rest; {sum(back.values())} lead back from {len(back)} error states: {len(result["findings"])}
with differences. {_of(result).capitalize()}, {_minutes(result)}.
"""


def _model(result: Result) -> str:
    return f"""\
## The planners, model-checked

{result["states"]:,} states and {result["transitions"]:,} transitions of the running `plan()`
functions: {result["violations"]} violations. {_of(result).capitalize()}.
"""


def _admission(result: Result) -> str:
    counts = {key: value for key, value in result.items() if key not in _OF_A_RUN}
    lines = [f"- {' '.join(path)}: {count:,}" for path, count in sorted(_leaves(counts))]
    return "## Admission\n\n" + "\n".join(lines) + f"\n\n{_of(result).capitalize()}.\n"


_OF_A_RUN: Final = frozenset({"commit", "seed", "date", "python"})


def _leaves(counts: Result, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every count with the words that lead to it."""
    for key, value in counts.items():
        words = (*path, key.replace("_", " "))
        if isinstance(value, Mapping):
            yield from _leaves(value, words)
        else:
            yield words, value


def _rights(audited: Mapping[str, Result]) -> str:
    """Of all campaigns together: none has to use every right by itself."""
    total = rights.together([Comparison.of(each) for each in audited.values()])
    runs = sum(each["runs"] for each in audited.values())
    num_unread = sum(len(each["unread"]) for each in audited.values())
    excused = "".join(f"- {right}: {why}\n" for right, why in sorted(total.excused.items()))
    return f"""\
## Rights

Of the operators of {runs:,} runs ({", ".join(sorted(audited))}), by the API server's audit log:
{len(total.missing)} calls without a right; of {len(total.granted)} rights {len(total.unused)} that
none used. {num_unread} times a part of the log was removed before it was read. Not counted are
rights that no run can use:

{excused}"""


def _of(result: Result) -> str:
    commit, *more = str(result["commit"]).split(" ", 1)
    return " ".join([f"`{commit[:9]}`", *more]) + f", {result['seed']}"


def _share(result: Result, name: str) -> str:
    """A count with its share of all plans."""
    return f"{result[name]} ({result[name] / max(result['planned'], 1):.1%})"


def _minutes(result: Result) -> str:
    return f"{result['seconds'] / 60:.0f} min"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def read(folder: Path) -> dict[str, Result]:
    """The result files of a folder, by their names without ``.json``."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
