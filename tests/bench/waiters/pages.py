"""The page that tells of a run; pure."""

import figures
from rounds import NO_OP, NUM_FIRST, POLLING, RESOURCE

SECONDS, COUNT, KIB, TIMES = "{:.3f} s", "{:.0f}", "{:.1f} KiB", "{:.1f} ×"
INTRODUCTION = """# Waiting Airflow tasks: one shared watch against polling

`make bench-airflow WRITE=1` wrote this page and airflow.json beside it: commit {commit}, seed
{seed}, {cores} cores, load {load_before:.1f} before and {load_after:.1f} after. Absolute times are
of this machine and what else it did; the ratios are of the same rounds.

A real API server; no operator: the bench makes the FineTuneJobs and writes their status. Triggers
run in Airflow's own triggerer (TriggerRunnerSupervisor and TriggerRunner) with files in place of
its database. In each round the three kinds wait one after the other, each in a triggerer of its
own: the shared watch (`ResourceTrigger`); a poller as one writes it with the cncf provider's
asynchronous hook, which reads its resource every {poll_seconds:g} s, tuned: one client session
for all, first looks spread over the interval; and a no-op trigger that waits for a moment.
"""
ROWS = (
    ("condition to event, p50", "p50", SECONDS, "event queued by the runner - status write sent"),
    ("condition to event, p99", "p99", SECONDS, "the same"),
    ("condition to event, longest", "max", SECONDS, "the same"),
    ("… of it the write itself, p50", "write_p50", SECONDS, "write answered - write sent"),
    ("… of it the write itself, p99", "write_p99", SECONDS, "the same"),
    ("condition to Airflow's knowing, mean", "stored", SECONDS,
     "event at the supervisor - status write sent; its runner hands events over each second"),
    ("requests to the API server", "requests", COUNT, "its audit log, over the round"),
    ("… lists (pages)", "list", COUNT, "the same"),
    ("… watches opened", "watch", COUNT, "the same"),
    ("watches at once", "watches", COUNT, "while all wait"),
    ("memory a waiter", "kib", KIB,
     f"(RSS while all wait - RSS while the first {NUM_FIRST} wait) / waiters without those"),
    ("triggerer's CPU while all wait", "cpu_quiet", SECONDS, "runner, over {quiet_seconds:g} s"),
    ("API server's CPU while all wait", "server_cpu_quiet", SECONDS, "the same"),
    ("triggerer's CPU", "cpu", SECONDS, "runner, from first of all to last event"),
    ("API server's CPU", "server_cpu", SECONDS, "the same, with the bench's own writes"),
)  # fmt: skip
COMPARED = (
    ("condition to event, p50", "p50_ratio", TIMES, "polling / shared watch"),
    ("condition to event, p99", "p99_ratio", TIMES, "polling / shared watch"),
    ("requests", "requests_ratio", TIMES, "polling / shared watch"),
    ("triggerer's CPU while all wait", "cpu_quiet_ratio", TIMES, "polling / shared watch"),
    ("API server's CPU while all wait", "server_cpu_quiet_ratio", TIMES, "polling / shared watch"),
    ("triggerer's CPU", "cpu_ratio", TIMES, "polling / shared watch"),
    ("memory a waiter over a no-op trigger", "kib_added", KIB, "shared watch - no-op"),
    ("… of a poller", "kib_added_polling", KIB, "polling - no-op"),
    ("task done over a no-op trigger's", "done_added", SECONDS,
     "shared watch's mean to Airflow's knowing + mean of execute_complete - no-op's mean"),
    ("… of a poller", "done_added_polling", SECONDS, "polling - no-op, means, without resuming"),
)  # fmt: skip
GOALS = {
    "p99_seconds": ("condition to event, p99", SECONDS),
    "done_seconds": ("task done over a no-op trigger's", SECONDS),
    "kib": ("memory a waiter over a no-op trigger", KIB),
    "watches": ("watches a triggerer process", COUNT),
}


def page(result):
    """The whole page."""
    parts = [INTRODUCTION.format(**result)]
    for num_waiters, found in result["sizes"].items():
        num_rounds = len(found["rounds"])
        rounds_ = f"{num_rounds} round{'s' if num_rounds > 1 else ''}"
        parts.append(
            f"## {num_waiters:,} waiters, {rounds_}\n\nMedian over the rounds (least to most).\n"
        )
        parts.append(_kinds(found, result))
        parts.append(_compared(found))
        parts.append(_goals(found))
    return "\n".join(parts)


def _cell(spread, form):
    of = [form.format(spread[key]) for key in ("median", "min", "max")]
    return f"{of[0]} ({of[1]} to {of[2]})"


def _kinds(found, result):
    lines = ["| figure | shared watch | polling | no-op | formula |", "|---|---|---|---|---|"]
    for title, key, form, formula in ROWS:
        cells = [_cell(found[kind][key], form) for kind in (RESOURCE, POLLING, NO_OP)]
        lines.append(f"| {title} | {' | '.join(cells)} | {formula.format(**result)} |")
    return "\n".join(lines) + "\n"


def _compared(found):
    lines = ["| compared | figure | formula, in the same round |", "|---|---|---|"]
    for title, key, form, formula in COMPARED:
        lines.append(f"| {title} | {_cell(found['compared'][key], form)} | {formula} |")
    return "\n".join(lines) + "\n"


def _goals(found):
    lines = ["| goal | at most | median | kept |", "|---|---|---|---|"]
    for name, (goal, figure, is_kept) in figures.verdicts(found).items():
        title, form = GOALS[name]
        kept = "yes" if is_kept else "**no**"
        lines.append(f"| {title} | {form.format(goal)} | {form.format(figure)} | {kept} |")
    return "\n".join(lines) + "\n"
