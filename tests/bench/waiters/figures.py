"""From rounds to figures: each with its formula, its baseline in the same run, and its spread.

Pure: no clock, no cluster.
"""

import statistics

import medians
from rounds import NO_OP, NUM_FIRST, POLLING, RESOURCE

KIB = 1024
GOALS = {
    "p99_seconds": 1.0,
    "done_seconds": 0.2,
    "kib": 10.0,
    "watches": 1,
}
"""Longest condition to event at p99; most that a task done and a waiter may cost over a no-op
trigger's; watches a triggerer process."""


def percentile(values, share):
    """Of sorted values."""
    return values[int(share * (len(values) - 1))]


def of_round(measured):
    """Figures of one round of one kind."""
    num_more = len(measured["to_event"]) - NUM_FIRST
    return {
        "p50": percentile(measured["to_event"], 0.5),
        "p99": percentile(measured["to_event"], 0.99),
        "max": measured["to_event"][-1],
        "write_p50": percentile(measured["write_seconds"], 0.5),
        "write_p99": percentile(measured["write_seconds"], 0.99),
        "stored": statistics.mean(measured["to_stored"]),
        "kib": (measured["bytes_all"] - measured["bytes_first"]) / KIB / num_more,
        "requests": sum(measured["requests"].values()),
        **{verb: measured["requests"][verb] for verb in ("get", "list", "watch")},
        "watches": measured["num_watches"],
        **{key: measured[key] for key in ("cpu", "server_cpu", "cpu_quiet", "server_cpu_quiet")},
        "seconds": measured["seconds"],
    }


def compared(row):
    """Figures of one round of all kinds, against each other."""
    ours, polling, nothing = (row[kind] for kind in (RESOURCE, POLLING, NO_OP))
    ratios = {
        f"{key}_ratio": polling[key] / max(ours[key], floor)
        for key, floor in (
            ("p50", 1e-6), ("p99", 1e-6), ("requests", 1), ("cpu", 0.01), ("server_cpu", 0.01),
            ("cpu_quiet", 0.01), ("server_cpu_quiet", 0.01),
        )
    }  # fmt: skip
    return ratios | {
        "kib_added": ours["kib"] - nothing["kib"],
        "kib_added_polling": polling["kib"] - nothing["kib"],
        "done_added": ours["stored"] + ours["resumed"] - nothing["stored"],
        "done_added_polling": polling["stored"] - nothing["stored"],
    }


def of_rounds(rows):
    """Median and spread over the rounds of everything, the comparisons too."""
    return medians.of_rounds(rows, compared)


def verdicts(found):
    """Goal, figure and whether it is kept, of the medians."""
    ours, against = found[RESOURCE], found["compared"]
    figures = {
        "p99_seconds": ours["p99"]["median"],
        "done_seconds": against["done_added"]["median"],
        "kib": against["kib_added"]["median"],
        "watches": ours["watches"]["max"],
    }
    return {name: (goal, figures[name], figures[name] <= goal) for name, goal in GOALS.items()}
