"""What deploy_model decides: which model, whether it fits, whether it is good; pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fairlead_airflow import gates
from fairlead_airflow.manifests import Manifest
from fairlead_airflow.pipelines.plan import InvalidPlan, modelservice
from fairlead_api import outcome, uris
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService

_MAX_NAMED: Final = 5


class NotGood(ValueError):
    """The endpoint doesn't do what it should; the message says what it does."""


class Absent(InvalidPlan):
    """The FineTuneJob that the form names is not there."""


def told(triggering: Mapping[Any, Iterable[Any]]) -> list[Mapping[str, Any]]:
    """What the events that triggered a run tell, oldest first.

    Args:
        triggering: As Airflow has them: by asset, and in no order.
    """
    events = [each for some in triggering.values() for each in some]
    return [each.extra for each in sorted(events, key=lambda each: each.timestamp)]


def model_of(form: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> Manifest:
    """Which model a run deploys, as a ModelService's spec.model.

    Args:
        form: The run's parameters.
        events: What the assets that triggered the run tell, oldest first; the newest counts and
            goes before the form.

    Raises:
        InvalidPlan: When the form names no model, or two.
    """
    addresses = [event["uri"] for event in events if event.get("uri")]
    if addresses:
        return {"uri": addresses[-1]}
    job, uri = form["fine_tune_job"], form["model_uri"]
    if bool(job) == bool(uri):
        raise InvalidPlan("fine_tune_job: give one, or model_uri, and not both")
    return {"fineTuneJobRef": {"name": job}} if job else {"uri": uri}


def claim_of(model: Mapping[str, Any], job: Mapping[str, Any] | None) -> str:
    """The claim that holds a model.

    Args:
        model: A ModelService's spec.model.
        job: The FineTuneJob that it names, as it stands.

    Raises:
        Absent: When there is no such job.
        InvalidPlan: When that job has no model to give.
    """
    if "uri" in model:
        return uris.parse(model["uri"]).claim
    name = model["fineTuneJobRef"]["name"]
    if job is None:
        raise Absent(f"fine_tune_job: finetunejob/{name} is not there")
    came_to = outcome.of_body(job)
    if not isinstance(came_to, outcome.Succeeded):
        words = came_to.line if isinstance(came_to, outcome.Waiting) else came_to.reason
        raise InvalidPlan(f"fine_tune_job: finetunejob/{name} is not complete: {words}")
    artifact = FineTuneJob.read(job).status.artifact
    if artifact is None or artifact.kind != "Model":
        raise InvalidPlan(f"fine_tune_job: finetunejob/{name} has no whole model to serve")
    return uris.parse(artifact.uri).claim


def instead(namespace: str, jobs: Iterable[Mapping[str, Any]] | None) -> str:
    """Which FineTuneJobs could be deployed in place of one that is not there.

    Args:
        namespace: That was looked in.
        jobs: All that are in it; None where nobody counted them.
    """
    if jobs is None:
        return f"those of namespace {namespace}: kubectl get ftj -n {namespace}"
    newest = sorted(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]), reverse=True)
    servable = [job["metadata"]["name"] for job in newest if _has_model(job)]
    if not servable:
        return f"no FineTuneJob of namespace {namespace} has a model to serve"
    more = f" and {len(servable) - _MAX_NAMED} more" if len(servable) > _MAX_NAMED else ""
    listed = ", ".join(servable[:_MAX_NAMED])
    return f"namespace {namespace} has models of {listed}{more}"


def _has_model(job: Mapping[str, Any]) -> bool:
    if not isinstance(outcome.of_body(job), outcome.Succeeded):
        return False
    artifact = FineTuneJob.read(job).status.artifact
    return artifact is not None and artifact.kind == "Model"


def record(
    form: Mapping[str, Any],
    model: Mapping[str, Any],
    job: Mapping[str, Any] | None,
    service: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a run is about to deploy, and what serves before it.

    Raises:
        InvalidPlan: For a ModelService that the API server would refuse.
    """
    spec = modelservice(form, model)["spec"]
    artifact = FineTuneJob.read(job).status.artifact if job else None
    return {
        **spec,
        "uri": artifact.uri if artifact else model.get("uri", ""),
        "digest": artifact.digest if artifact else "",
        "before": before(service),
    }


def before(service: Mapping[str, Any] | None) -> Manifest | None:
    """The spec to go back to: all but the replicas, which are left to who scales."""
    if service is None:
        return None
    return {key: value for key, value in service["spec"].items() if key != "replicas"}


def quota_lines(quotas: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is used of a namespace's quotas, one line each."""
    lines = []
    for quota in quotas:
        status = quota.get("status") or {}
        used, hard = status.get("used") or {}, status.get("hard") or {}
        parts = [f"{key} {used.get(key, '0')} of {hard[key]}" for key in sorted(hard)]
        lines.append(f"quota {quota['metadata']['name']}: {', '.join(parts) or 'no limit yet'}")
    return lines


def require_good(
    examined: Mapping[str, Any], given: Sequence[Mapping[str, Any]], field: str = "gates"
) -> str:
    """What an endpoint's answers come to; gates may be none: then it has to answer.

    Raises:
        NotGood: When it refused every question, or failed a gate.
    """
    num_answered = examined["num_questions"] - examined["num_errors"]
    if num_answered < 1:
        raise NotGood(f"not one of {examined['num_questions']} questions was answered")
    verdicts = gates.verdict(examined["scores"], gates.parse(given, field))
    told = gates.table(verdicts)
    if not all(each.passed for each in verdicts):
        raise NotGood(f"the endpoint answers, but not well enough:\n{told}")
    return told or f"{num_answered} questions answered"


def require_settled(service: Mapping[str, Any], uri: str, digest: str) -> str:
    """Whether all traffic goes to the model that was deployed.

    Args:
        service: The ModelService as it stands.
        uri: Of the model; it counts where its digest isn't known. Of a model that is served by its
            address the status has no digest, so that an event's could not be compared.
        digest: Of the model's content; empty where nobody knows it.

    Raises:
        NotGood: When another model serves, or another revision is on its way.
    """
    status = ModelService.read(service).status
    if status.candidate:
        raise NotGood(f"revision {status.candidate} is on its way to replace {status.stable}")
    serves = status.model.artifact.digest if status.model and status.model.artifact else ""
    address = status.model.uri if status.model else "nothing"
    if not digest and address != uri:
        raise NotGood(f"it serves {address}, not {uri}")
    if digest and serves != digest:
        raise NotGood(f"it serves {serves or 'a model without a digest'}, not {digest}")
    return f"all traffic goes to revision {status.stable}, {serves or 'digest unknown'}"
