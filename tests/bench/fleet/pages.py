"""The page that tells of a run; pure."""

import figures
from moments import BARE, FAIRLEAD, NAIVE

SECONDS, MILLISECONDS, COUNT, EACH = "{:.2f} s", "{:.1f} ms", "{:.0f}", "{:.2f}"
MIB, TIMES, SHARE = "{:.0f} MiB", "{:.2f} ×", "{:.1%}"
KINDS = (BARE, FAIRLEAD, NAIVE)
INTRODUCTION = """# Thousands of FineTuneJobs: Fairlead against bare Jobs and a naive operator

`make bench-operator WRITE=1` writes this page and operator.json beside it, all or part by part;
beside each part stands what it was measured with. Nothing is pinned: operators, control plane,
simulated nodes and the bench share the cores. Absolute times are of that machine and what else it
did; the ratios are of the same rounds.

A real API server, controllers and scheduler (1,000 requests a second granted to each, 50 Jobs
synced at once); nodes and pods are simulated by a kwok process of the bench's own. As in any
cluster, ended pods beyond 12,500 are taken away: with 5,000 jobs that happens to each contestant on
the way to Complete. Per round the contestants run one after the other, in an order that changes,
each on a control plane made anew of the same programs:

- **bare Jobs**: what the same work takes without any operator. An object is a chain of three
  Indexed Jobs with the very pod templates that Fairlead makes for Prepare, Train and Export, three
  requests in all; the bench creates the first, and each next one as soon as a watch tells that the
  last is complete, which is in the bench's own CPU.
- **Fairlead**: `python -m fairlead_operator` for the whole cluster, one FineTuneJob an object.
- **naive kopf**: an operator as most tutorials write it (tests/bench/fleet/naive.py), with the
  same children: change handlers with kopf's finalizer and annotations, the official client in
  threads, results returned into the status, the Jobs' state copied into the status on each event.
  Tuned first: more threads than kopf's default of cores + 4, over one client with as many
  connections (neither limits requests a second), no limit of workers, uvloop as `kopf
  run` takes it, a server-side selector for its Jobs, watches of 10 minutes, the Jobs' own `ready`
  in place of a watch of pods. It gates nothing, retries nothing and tells no reasons.

**To Running** is the time from the first request until an object's first pod runs, as a watch
tells it: all pods stay, so that in the end all N run at once. It compares the first stage of each
FineTuneJob with one bare Job. Then, at rest, the operator is watched, killed, started again, and
further jobs are suspended. **To Complete** begins when kwok is told to end pods (each
1 s after it runs) and the first Job is complete; it lasts until the objects' own status says so.
Three stages of a FineTuneJob are compared with the chain of three bare Jobs.
"""
CIRCUMSTANCES = """Commit {commit}{changed}, seed {seed}, {date};
{cores} cores of {cpu}, load {load_before:.1f} before and {load_after:.1f} after; Kubernetes
{kubernetes}, kwok {kwok}, kopf {kopf}, client kubernetes {client}, Python {python}. The naive
operator has {threads} threads; {num_probes} jobs are suspended; at rest is {quiet_seconds:.0f} s.
{spread}
"""
DONE = """## What was done for it

- Kopf keeps discovery and watches; what they tell goes straight into the cache, without a task, a
  queue and a memory for each object ([004](../decisions/004-no-worker-for-each-object.md)).
- Events of children are batched: a pass a second over a job at most, at once for a changed spec.
- The status is one request, on a difference only; what a pass learned and the number of the attempt
  that it begins stand in the same one.
- Of a stage only what is set is written, neither counters at zero nor empty texts: the API server
  decodes, checks and sends out a whole status at each write.
- A job of one node trains without a Service, and so without Endpoints and an EndpointSlice
  ([006](../decisions/006-no-service-for-one-node.md)).
- The API server tracks a status by its parts, not by each leaf of each condition, and the CRD's
  rules were trimmed, since all run at each write of the status.
- The cache keeps what objects differ in ([005](../decisions/005-objects-kept-as-differences.md)),
  and the client loads no models ([002](../decisions/002-lean-kubernetes-client.md)).
- An audit keeps of a listing who each object is and whose: with all metadata, most of it managed
  fields, the memory run took 198 MiB.
"""
LIMIT = """**Why not {goal:.2f} × {until}.** An object of bare Jobs takes {bare:.1f} ms of the
control plane's CPU until then, a FineTuneJob {plane:.1f} ms, and {operator:.1f} ms of the
operator's: the resource, its ConfigMap and each write of its status come on top of the same Jobs
and pods. Where all share the cores, the goal leaves {left:.1f} ms for that.
"""
ROWS = (
    ("to Running, p50", "running_p50", SECONDS, "pod of the first stage runs - first request"),
    ("to Running, p99", "running_p99", SECONDS, "the same"),
    ("to Running, last", "running_last", SECONDS, "the same"),
    ("… told by the object, last", "told_last", SECONDS, "its own status says so - first request"),
    ("to Complete, p50", "complete_p50", SECONDS, "status says Complete - first Job complete"),
    ("to Complete, p99", "complete_p99", SECONDS, "the same"),
    ("to Complete, last", "complete_last", SECONDS, "the same"),
    ("suspend to the Job's end, p50", "suspended_p50", SECONDS,
     "watch tells of the Job's deletion - spec change sent, while N run"),
    ("suspend to the Job's end, p99", "suspended_p99", SECONDS, "the same"),
    ("operator's CPU an object", "cpu", MILLISECONDS,
     "user + system, of all parts of this section / N"),
    ("… of it to Running", "running_cpu", MILLISECONDS, "the same"),
    ("control plane's CPU an object", "plane", MILLISECONDS,
     "API server, etcd, controllers, scheduler, kwok; the same"),
    ("… of it to Running", "running_plane", MILLISECONDS, "the same"),
    ("the bench's own CPU an object", "bench", MILLISECONDS,
     "creates objects, watches, and drives the chain of bare Jobs; the same"),
    ("writes of children an object", "children", EACH,
     "audit log: ConfigMap, Jobs, by the operator's account"),
    ("writes beyond the children an object", "beyond", EACH, "audit log: the object, its status"),
    ("… a transition", "writes_a_transition", EACH,
     "these / versions with another phase, reason, stage or condition"),
    ("reads an object", "reads", EACH, "audit log: get of the object or a child"),
    ("requests an object, all", "requests", EACH, "audit log: the object's and its children's"),
    ("lists, whole course", "lists", COUNT, "audit log: by the operator's account"),
    ("refused requests", "refused", COUNT, "audit log: code 300 to 499"),
    ("no-op writes", "no_op", COUNT,
     "answered patches of the objects - versions that a watch told of"),
    ("writes at rest", "quiet_writes", COUNT, "audit log, while all run and nothing happens"),
    ("CPU at rest", "quiet_share", SHARE, "of a core, the same time"),
    ("restart: to level", "restart_seconds", SECONDS,
     "start, as after a container's restart - less than 10 % of a core for 3 s; Fairlead: every "
     "object looked at before"),
    ("restart: CPU", "restart_cpu", SECONDS, "process start to level"),
    ("restart: writes", "restart_writes", COUNT, "audit log, from the kill to 10 s after level"),
    ("ended by itself", "deaths", COUNT, "a lost lease, a dead watch: started again"),
    ("unanswered requests", "failed", COUNT,
     "code 500 and above, or a broken connection: the operator's and the bench's own"),
    ("courses that stood still", "stuck", COUNT, "an object never got to where it was waited for"),
    ("courses repeated", "repeats", COUNT,
     "at most 2, where one of the last three rows counted; figures are the last whole course's"),
    ("memory, all run", "rss", MIB, "RSS"),
    ("… its own", "pss", MIB, "PSS"),
    ("memory after the restart", "rss_restarted", MIB, "RSS"),
    ("memory, most", "peak", MIB, "high-water mark of RSS, whenever"),
)  # fmt: skip
SCALED = {MILLISECONDS: 1000}
COMPARED = (
    ("to Running, last", "running_ratio", TIMES, "Fairlead / bare Jobs"),
    ("… of the naive one", "running_ratio_naive", TIMES, "naive kopf / bare Jobs"),
    ("told to run, last", "told_ratio", TIMES, "Fairlead / bare Jobs (Job's `ready`)"),
    ("… of the naive one", "told_ratio_naive", TIMES, "naive kopf / bare Jobs"),
    ("to Complete, last", "complete_ratio", TIMES, "Fairlead / chains of bare Jobs"),
    ("… of the naive one", "complete_ratio_naive", TIMES, "naive kopf / chains of bare Jobs"),
    ("operator's CPU an object", "cpu_ratio", TIMES, "Fairlead / naive kopf"),
    ("memory, most", "peak_ratio", TIMES, "Fairlead / naive kopf"),
    ("suspend to the Job's end, p99", "suspended_p99_ratio", TIMES, "Fairlead / naive kopf"),
)
GOALS = {
    "running_ratio": ("to Running, over bare Jobs", TIMES),
    "complete_ratio": ("to Complete, over bare Jobs", TIMES),
    "cpu_ratio": ("CPU an object, over the naive operator", TIMES),
    "no_op": ("no-op writes", COUNT),
    "writes_a_transition": ("writes beyond the children a transition", EACH),
    "quiet_writes": ("writes at rest", COUNT),
    "restart_writes": ("writes after a restart", COUNT),
    "peak": ("memory, most", MIB),
}


def page(result):
    """The whole page."""
    parts = [INTRODUCTION, DONE]
    for num_jobs, found in result["sizes"].items():
        num_rounds = len(found["rounds"])
        rounds_ = "one round" if num_rounds == 1 else f"{num_rounds} rounds"
        parts.append(f"## {int(num_jobs):,} jobs, {rounds_}\n")
        parts += [_circumstances(found, num_rounds), _kinds(found), _compared(found), _goals(found)]
        parts += [_limit(found, "running", "to Running"), _limit(found, "complete", "to Complete")]
        parts += [_plot(found, "running", "Running"), _plot(found, "complete", "Complete")]
    if result.get("memory"):
        parts.append(_memory(result["memory"]))
    return "\n".join(parts)


def _circumstances(found, num_rounds=1):
    told = found["circumstances"]
    is_once = num_rounds == 1
    return CIRCUMSTANCES.format(
        **told,
        changed=" (and changes to it)" if told["is_changed"] else "",
        spread="Measured once: nothing tells the spread." if is_once else "Median (least to most).",
    )


def _cell(spread, form):
    if spread is None:
        return "–"
    scale = SCALED.get(form, 1)
    of = [form.format(spread[key] * scale) for key in ("median", "min", "max")]
    return of[0] if of[0] == of[1] == of[2] else f"{of[0]} ({of[1]} to {of[2]})"


def _kinds(found):
    kinds = [kind for kind in KINDS if kind in found]
    lines = [f"| figure | {' | '.join(kinds)} | formula |", "|---" * (len(kinds) + 2) + "|"]
    for title, key, form, formula in ROWS:
        spreads = [found[kind].get(key) for kind in kinds]
        if any(spreads):
            cells = [_cell(each, form) for each in spreads]
            lines.append(f"| {title} | {' | '.join(cells)} | {formula} |")
    return "\n".join(lines) + "\n"


def _compared(found):
    lines = ["| compared | figure | formula, in the same round |", "|---|---|---|"]
    for title, key, form, formula in COMPARED:
        if key in found.get("compared", {}):
            lines.append(f"| {title} | {_cell(found['compared'][key], form)} | {formula} |")
    return "\n".join(lines) + "\n"


def _goal(title, form, goal, figure, is_kept):
    kept = "yes" if is_kept else "**no**"
    return f"| {title} | {form.format(goal)} | {form.format(figure)} | {kept} |"


def _goals(found, wanted=tuple(GOALS)):
    lines = ["| goal | at most | figure | kept |", "|---|---|---|---|"]
    for name, verdict in figures.verdicts(found).items():
        if name in wanted:
            lines.append(_goal(*GOALS[name], *verdict))
    return "\n".join(lines) + "\n"


def _limit(found, phase, until):
    """What the goal would leave for all that a bare Job doesn't have; empty where it is kept."""
    goal, _, is_kept = figures.verdicts(found).get(f"{phase}_ratio", (0, 0, True))
    if is_kept:
        return ""
    bare, plane = (found[kind][f"{phase}_plane"]["median"] * 1000 for kind in (BARE, FAIRLEAD))
    return LIMIT.format(
        goal=goal,
        until=until,
        bare=bare,
        plane=plane,
        operator=found[FAIRLEAD][f"{phase}_cpu"]["median"] * 1000,
        left=(goal - 1) * bare,
    )


def _plot(found, phase, title):
    """Lines of all contestants over the share of the objects."""
    kinds = [kind for kind in KINDS if f"{phase}_curve" in found.get(kind, {})]
    most = max(found[kind][f"{phase}_curve"][-1] for kind in kinds)
    ends = [f"{kind} (last {found[kind][f'{phase}_curve'][-1]:.1f} s)" for kind in kinds]
    lines = [
        "```mermaid",
        "xychart-beta",
        f'    title "Seconds until a share of the objects is {title}"',
        f'    x-axis "percent of the objects" {figures.CURVE[0]} --> {figures.CURVE[-1]}',
        f'    y-axis "seconds" 0 --> {most * 1.05:.1f}',
    ]
    for kind in kinds:
        values = ", ".join(f"{value:.2f}" for value in found[kind][f"{phase}_curve"])
        lines.append(f"    line [{values}]")
    return "\n".join([*lines, "```", "", f"Lines, in this order: {', '.join(ends)}.", ""])


def _memory(memory):
    """The run beside others' pods."""
    lines = [
        f"## Memory: {memory['num_jobs']:,} jobs beside {memory['num_foreign']:,} foreign pods",
        "",
        "The foreign pods lie in a namespace of their own; the naive operator watches none. This",
        "run ends before Complete.",
        "",
        _circumstances(memory),
        _kinds(memory["figures"]),
        _compared(memory["figures"]),
        _goals(memory["figures"], figures.MEMORY_GOALS),
    ]
    return "\n".join(lines)
