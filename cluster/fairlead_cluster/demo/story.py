"""The demo from beginning to end: a cluster, the chart, a base, a training, two models, answers.

Each part looks at what is there and does what is missing, so a demo that was interrupted is run
again; the training alone is made anew each time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fairlead_cluster import belongings, errors, fitness, imagetable, pins, progress, providers, up
from fairlead_cluster.demo import exam, example, place, report
from fairlead_cluster.demo.parts import Parts
from fairlead_cluster.provider import Provider
from fairlead_cluster.settings import Settings

NUM_SHOWN = 12
FOLDER = example.FOLDER.relative_to(place.ROOT)
_PAUSE_SECONDS = 1.0
_BASE_PATIENCE_SECONDS = 40 * 60
_GATEWAY_PATIENCE = "180s"
_MAX_SEED = 1_000_000_000


@dataclass(frozen=True)
class Chosen:
    """What the user may choose."""

    seed: int
    """Held-out questions are drawn from it."""
    num_questions: int = 100


def fresh_seed() -> int:
    """A seed that nobody knew before: the clock."""
    return time.time_ns() // 1_000_000 % _MAX_SEED


def tell(settings: Settings, chosen: Chosen) -> None:
    """Run the whole demo.

    Raises:
        ClusterError: One clear line with the way out; the next run goes on from here.
    """
    parts = Parts(total=7)
    progress.say("Fairlead's demo: a dataset becomes a served model on a real Kubernetes.")
    where = prepare(providers.choose(settings), parts)
    with parts.part("the FineTuneJob: teach it amounts", 260):
        train(where)
    with parts.part("two ModelServices: the base and the fine-tuned model", 60):
        serve(where)
    with parts.part(f"{chosen.num_questions} held-out questions over HTTP", 10):
        result = ask(where, chosen)
    show(result, chosen.seed)
    progress.say("\nHow long it took:")
    progress.say("\n".join(report.times(parts.seconds)))
    progress.say(_what_next(where))


def prepare(provider: Provider, parts: Parts) -> place.Place:
    """Bring about all that the example starts from: four parts of the demo."""
    with parts.part("a cluster", 20, pins.USUAL_SECONDS):
        where = place.at(provider.reach(up.Wanted()))
        require_gateway(where)
    first_images = imagetable.USUAL_SECONDS + imagetable.USUAL_PUSH_SECONDS
    with parts.part("the images", 15, first_images):
        references = provider.push_images()
    with parts.part("the chart: operator, CRDs, gateway", 10):
        provider.install(where, references)
        gateway_of(where)
    with parts.part("storage, dataset and a small base model that knows dates", 25, 120):
        belongings.own_namespace(where, example.NAMESPACE)
        make_base(where, references)
    return where


def require_gateway(where: place.Place) -> None:
    """Refuse at once what would fail at the last part.

    Raises:
        ClusterError: When nothing would serve the chart's Gateway.
    """
    lacks = ""
    if not fitness.has_gateway_api(where):
        lacks = "serves no Gateway API"
    elif not belongings.can_have_gateway(where):
        lacks = f"has neither a GatewayClass {belongings.GATEWAY_CLASS!r} nor Envoy Gateway"
    if lacks:
        raise errors.ClusterError(
            f"the demo asks its models through a gateway, and this cluster {lacks}",
            "install Envoy Gateway (https://gateway.envoyproxy.io) there",
        )


def make_base(where: place.Place, references: Mapping[str, str]) -> None:
    """Make namespace, claim, dataset and base; what lies in the claim already is kept.

    Raises:
        ClusterError: When the Job that makes them fails.
    """
    progress.say(f"    $ kubectl apply -k {FOLDER}   (with the trainer's image)")
    rendered = where.run("kustomize", str(example.FOLDER), what="read the example")
    manifests = rendered.replace(
        f"image: {example.IMAGE_NAME}\n", f"image: {references['trainer']}\n"
    )
    # A Job's template can't be changed; the one of another image, or that failed, goes first.
    delete(where, "job", example.BASE_JOB)
    say_indented(where.run("apply", "-f", "-", stdin=manifests, what="apply the example"))
    wait_for_base(where)


def wait_for_base(where: place.Place) -> None:
    """Show what the base's Job prints, or what its pod waits for, until it is done.

    Raises:
        ClusterError: When the Job fails, or is not done after the time that is allowed.
    """
    path = "jsonpath={.status.conditions[*].type}"
    words = ("-n", example.NAMESPACE, "get", "job", example.BASE_JOB, "-o", path)
    see = f"see above and `kubectl -n {example.NAMESPACE} describe job {example.BASE_JOB}`"
    deadline = time.monotonic() + _BASE_PATIENCE_SECONDS
    shown, waits_for = place.Shown(0, 0), ""
    while "Complete" not in (ends := where.run(*words, what="read the Job").split()):
        if "Failed" in ends:
            raise errors.ClusterError(f"job/{example.BASE_JOB} failed", see)
        if time.monotonic() > deadline:
            raise errors.ClusterError(
                f"job/{example.BASE_JOB} is not done after {_BASE_PATIENCE_SECONDS // 60} min", see
            )
        if not shown.is_whole:
            again = where.show_logs(example.BASE_JOB, example.NAMESPACE, shown.num_lines)
            shown = place.Shown(again.exit_status, max(shown.num_lines, again.num_lines))
        if not shown.num_lines and (now := why_waiting(where)) != waits_for:
            progress.say(f"    its pod waits: {now}")
            waits_for = now
        time.sleep(_PAUSE_SECONDS)


def why_waiting(where: place.Place) -> str:
    """What keeps the base's pod from starting, in the scheduler's or the kubelet's words."""
    reason = "{.status.containerStatuses[*].state.waiting.reason}"
    message = "{.status.containerStatuses[*].state.waiting.message}"
    unscheduled = '{.status.conditions[?(@.status=="False")].message}'
    path = f"jsonpath={{range .items[*]}}{reason} {message} {unscheduled}{{end}}"
    pods = ("get", "pods", "-l", f"job-name={example.BASE_JOB}", "-o", path)
    said = where.run("-n", example.NAMESPACE, *pods, what="read the Job's pod")
    return " ".join(said.split()) or "there is no pod yet"


def train(where: place.Place) -> None:
    """Train anew: storage is kept, the job of the last run goes."""
    delete(where, "modelservice", example.TUNED_SERVICE)
    delete(where, "finetunejob", example.FINE_TUNE_JOB)
    apply(where, "finetunejob.yaml")
    where.follow(f"finetunejob/{example.FINE_TUNE_JOB}", example.NAMESPACE, "40m")


def serve(where: place.Place) -> None:
    """Serve both models and wait until they answer."""
    apply(where, "modelservices.yaml")
    for name in (example.BASE_SERVICE, example.TUNED_SERVICE):
        where.follow(f"modelservice/{name}", example.NAMESPACE, "20m")


@dataclass(frozen=True)
class Result:
    """What both models answered."""

    questions: example.HeldOut
    base: list[str]
    tuned: list[str]


def ask(where: place.Place, chosen: Chosen) -> Result:
    """Ask both models what neither has seen."""
    questions = example.held_out(chosen.seed, chosen.num_questions)
    answers = []
    for name in (example.BASE_SERVICE, example.TUNED_SERVICE):
        examinee = exam.Examinee(name, url_of(where, name), gateway_of(where))
        exam.wait_until_answering(examinee, questions.texts[0])
        answers.append(exam.ask_all(examinee, questions.texts, example.MAX_TOKENS))
    return Result(questions, *answers)


def show(result: Result, seed: int) -> None:
    """Print answers and scores."""
    texts, right = result.questions.texts, result.questions.right
    columns = zip(texts, right, result.base, result.tuned, strict=True)
    rows = [report.Answered(*row) for row in columns]
    progress.say("\n" + "\n".join(report.table(rows[:NUM_SHOWN])))
    progress.say(f"\n{len(rows)} questions of seed {seed} (again: make demo SEED={seed}):")
    progress.say(f"  base model  {report.score(result.base, right)}")
    progress.say(f"  fine-tuned  {report.score(result.tuned, right)}")


def url_of(where: place.Place, service: str) -> str:
    """Where a ModelService says that it answers."""
    path = "jsonpath={.status.url}"
    words = ("-n", example.NAMESPACE, "get", "modelservice", service, "-o", path)
    return where.run(*words, what=f"read modelservice/{service}").strip()


def gateway_of(where: place.Place) -> str:
    """Address of the gateway that the chart made; a load balancer's takes its time.

    Raises:
        ClusterError: When it gets none.
    """
    release = where.release
    inside = ("-n", release.namespace)
    path = "jsonpath={.status.addresses[0].value}"
    wait = ("wait", f"gateway/{release.name}", f"--for={path}", f"--timeout={_GATEWAY_PATIENCE}")
    where.run(*wait, *inside, what="get an address for the gateway")
    words = ("get", "gateway", release.name, "-o", path)
    address = where.run(*words, *inside, what="read the gateway").strip()
    if not address:
        raise errors.ClusterError(
            f"gateway {release.namespace}/{release.name} has no address",
            f"see `kubectl -n {release.namespace} describe gateway {release.name}`",
        )
    return f"http://{address}"


def apply(where: place.Place, file: str) -> None:
    """Apply a manifest of the example, as the user would."""
    progress.say(f"    $ kubectl apply -f {FOLDER / file}")
    say_indented(where.run("apply", "-f", str(example.FOLDER / file), what=f"apply {file}"))


def delete(where: place.Place, kind: str, name: str) -> None:
    """Delete what the last run left, and wait until it is gone."""
    words = ("-n", example.NAMESPACE, "delete", kind, name, "--ignore-not-found")
    say_indented(where.run(*words, what=f"delete {kind}/{name}"))


def say_indented(text: str) -> None:
    """Show what a program said."""
    for line in text.splitlines():
        progress.say(f"    {line}")


def _what_next(where: place.Place) -> str:
    removed = "Fairlead and the demo" if where.context else "every cluster of this machine"
    setting = "".join(f"{line}\n  " for line in where.exports())
    return f"""
What to try next:
  {setting}kubectl get fairlead -n {example.NAMESPACE}
  kubectl describe finetunejob {example.FINE_TUNE_JOB} -n {example.NAMESPACE}
  .venv/bin/fairlead ask modelservice/{example.TUNED_SERVICE} -n {example.NAMESPACE} \\
      "We need 3.5 kilos of rice."
  change {FOLDER}/finetunejob.yaml (tuning: {{type: LoRA}}, say) and run `make demo` again: it
      trains anew, and the service is away until it has
  make down   removes {removed}"""
