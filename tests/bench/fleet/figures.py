"""From courses to figures: each with its formula, its baseline in the same round, its spread.

Pure: no clock, no cluster.
"""

import math

import medians
from moments import BARE, FAIRLEAD, NAIVE

CURVE = tuple(range(0, 101, 5))
"""Shares, in percent, of which the result keeps the moment."""
CHILDREN = ("configmaps", "services", "jobs")
PARENTS = ("finetunejobs", "naivejobs")
MOST_COURSES = 3
"""How often a contestant goes a course that something else disturbs."""
MEMORY_GOAL_MIB = 150
"""Most that the operator's process takes, whenever."""
GOALS = {
    "running_ratio": 1.25,
    "complete_ratio": 1.25,
    "cpu_ratio": 1 / 3,
    "no_op": 0,
    "writes_a_transition": 1,
    "quiet_writes": 0,
    "restart_writes": 0,
    "peak": MEMORY_GOAL_MIB,
}
"""Most of each, over all rounds' medians."""
MEMORY_GOALS = ("peak", "cpu_ratio")
"""Those that the run beside others' pods is for."""


def percentile(values, share):
    """Of sorted values, by nearest rank: the least one that so large a share doesn't exceed."""
    return values[max(0, math.ceil(share * len(values)) - 1)]


def is_disturbed(found):
    """Whether an operator ended by itself in a course, or the API server was unable to answer."""
    return bool(found["num_deaths"] or found["num_failed"])


def of_courses(courses, num_jobs, num_stuck):
    """Figures of a contestant's last course; of those that came to nothing, how often by what."""
    return of_course(courses[-1], num_jobs) | {
        "deaths": sum(found["num_deaths"] for found in courses),
        "failed": sum(found["num_failed"] for found in courses),
        "stuck": num_stuck,
        "repeats": len(courses) + num_stuck - 1,
    }


def of_course(found, num_jobs):
    """Figures of one course of one contestant."""
    figures = {"created": found["created"]}
    for phase in ("running", "told", "complete", "suspended"):
        if moments := found.get(phase):
            figures |= {
                f"{phase}_p50": percentile(moments, 0.5),
                f"{phase}_p99": percentile(moments, 0.99),
                f"{phase}_last": moments[-1],
                f"{phase}_curve": [percentile(moments, share / 100) for share in CURVE],
            }
    phases = [phase for phase in ("running", "complete") if f"{phase}_cpu" in found]
    for phase in phases:
        figures[f"{phase}_cpu"] = found[f"{phase}_cpu"] / num_jobs
        figures[f"{phase}_bench"] = found[f"{phase}_bench_cpu"] / num_jobs
        figures[f"{phase}_plane"] = sum(found[f"{phase}_plane_cpu"].values()) / num_jobs
    for part in ("cpu", "plane", "bench"):
        figures[part] = sum(figures[f"{phase}_{part}"] for phase in phases)
    if "requests" in found:
        figures |= _of_operator(found, num_jobs)
    return figures


def _of_operator(found, num_jobs):
    requests, memory = found["requests"], [
        found[key] for key in found if key.startswith("memory_")
    ]  # fmt: skip
    writes = requests["writes"]

    if requests["no_op"] < 0:
        told = f"{requests['versions']} versions of {requests['patches']} patches"
        raise ValueError(f"the audit log lacks writes: {told}")

    def of(resources):
        return sum(writes.get(resource, 0) for resource in resources) / num_jobs

    return {
        "rss": found["memory_running"]["rss"],
        "pss": found["memory_running"]["pss"],
        "rss_restarted": found["memory_restarted"]["rss"],
        "peak": max(each["peak"] for each in memory),
        "quiet_share": found["quiet_cpu"] / found["quiet_seconds"],
        "quiet_writes": sum(found["quiet_writes"].values()),
        "restart_seconds": found["restart_seconds"],
        "restart_cpu": found["restart_cpu"],
        "restart_writes": sum(found["restart_writes"].values()),
        "children": of(CHILDREN),
        "beyond": of(PARENTS),
        "reads": sum(requests["reads"].values()) / num_jobs,
        "requests": sum(
            sum(requests[part].values()) for part in ("writes", "reads", "refused", "failed")
        )
        / num_jobs,
        "lists": requests["lists"],
        "refused": sum(requests["refused"].values()),
        "no_op": requests["no_op"],
        "writes_a_transition": requests["patches"] / max(1, requests["transitions"]),
    }


def compared(row):
    """Figures of one round of all contestants, against each other."""
    found = {}
    for key, kind in (("", FAIRLEAD), ("_naive", NAIVE)):
        for phase in ("running", "told", "complete"):
            last = f"{phase}_last"
            if BARE in row and kind in row and last in row[BARE]:
                found[f"{phase}_ratio{key}"] = row[kind][last] / row[BARE][last]
    if FAIRLEAD in row and NAIVE in row:
        found |= {
            f"{key}_ratio": row[FAIRLEAD][key] / max(row[NAIVE][key], floor)
            for key, floor in (("cpu", 1e-4), ("peak", 1), ("suspended_p99", 1e-3))
        }
    return found


def of_rounds(rows):
    """Median and spread over the rounds of everything, the comparisons too."""
    return medians.of_rounds(rows, compared)


def verdicts(found):
    """Goal, figure and whether it is kept; of ratios the median, of counts the most."""
    ours, against = found[FAIRLEAD], found.get("compared", {})
    figures = {}
    for name in GOALS:
        if name in against:
            figures[name] = against[name]["median"]
        elif name in ours:
            figures[name] = ours[name]["max"]
    return {
        name: (GOALS[name], figure, figure <= GOALS[name] * (1 + 1e-9))
        for name, figure in figures.items()
    }
