"""Which model a ModelService serves: its uri, or the artifact of a FineTuneJob, pinned.

Once pinned, nothing that happens to the job changes what is served; only another job does, or
one of the same name that was created and completed anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from fairlead_api import base, conditions, uris
from fairlead_api.conditions import FineTuneJobCondition, Reason
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService, PinnedModel
from fairlead_operator.plan import Manifest, Observed


@dataclass(frozen=True)
class Resolution:
    """The model, or why there is none."""

    model: PinnedModel | None
    reason: str = Reason.RESOLVED
    message: str = ""


def resolve(
    service: ModelService, observed: Observed, pins: Iterable[PinnedModel] = ()
) -> Resolution:
    """Find the model that the spec asks for.

    ``pins`` are those of older revisions, newest first; the status' own comes before them.
    """
    newest = [service.status.model] if service.status.model else []
    found = _find(service, observed.fine_tune_job, [*newest, *pins])
    if found.model is None:
        return found
    claim = uris.parse(found.model.uri).claim
    if observed.claims.get(claim) is None:
        return Resolution(
            None,
            Reason.CLAIM_NOT_FOUND,
            f"{found.model.uri}: there is no PersistentVolumeClaim {claim} in namespace"
            f" {service.metadata.namespace}; create it or name another",
        )
    return found


def _find(service: ModelService, job: Manifest | None, pins: list[PinnedModel]) -> Resolution:
    spec = service.spec.model
    if spec.uri is not None:
        return Resolution(PinnedModel(uri=spec.uri), message=spec.uri)
    assert spec.fine_tune_job_ref is not None  # the CRD: exactly one of both
    name = spec.fine_tune_job_ref.name
    pinned = next((pin for pin in pins if pin.fine_tune_job == name), None)
    newest = _of_job(name, job)
    if newest.model is not None and (
        pinned is None or pinned.fine_tune_job_uid != newest.model.fine_tune_job_uid
    ):
        return newest
    return newest if pinned is None else Resolution(pinned, message=_describe(pinned))


def _of_job(name: str, manifest: Manifest | None) -> Resolution:
    if manifest is None:
        return Resolution(
            None,
            Reason.JOB_NOT_FOUND,
            f"spec.model.fineTuneJobRef: there is no FineTuneJob {name}; create it or name another",
        )
    try:
        return _published(name, FineTuneJob.read(manifest))
    except (ValidationError, uris.UriError) as error:  # written by another version of Fairlead
        why = base.faults(error) if isinstance(error, ValidationError) else str(error)
        message = f"FineTuneJob {name} can't be read by this version; run it again: {why}"
        return Resolution(None, Reason.JOB_UNREADABLE, message)


def _published(name: str, job: FineTuneJob) -> Resolution:
    status = job.status
    failed = conditions.find(status.conditions, FineTuneJobCondition.FAILED)
    if failed is not None and failed.status == "True":
        message = f"FineTuneJob {name} failed: {failed.reason}: {failed.message}"
        return Resolution(None, Reason.JOB_FAILED, message)
    artifact = status.artifact
    if artifact is None or not conditions.is_true(status.conditions, FineTuneJobCondition.COMPLETE):
        message = f"FineTuneJob {name} is not complete yet (phase {status.phase or 'unknown'})"
        return Resolution(None, Reason.JOB_NOT_COMPLETE, message)
    if artifact.kind == "Adapter":
        message = (
            f"FineTuneJob {name} published an adapter, which can't be served by itself;"
            " run it again with spec.output.mergeAdapter: true"
        )
        return Resolution(None, Reason.ARTIFACT_IS_ADAPTER, message)
    model = PinnedModel(
        uri=str(uris.parse(artifact.uri)),
        artifact=artifact,
        fine_tune_job=name,
        fine_tune_job_uid=job.metadata.uid,
    )
    return Resolution(model, message=_describe(model))


def _describe(model: PinnedModel) -> str:
    digest = model.artifact.digest[:19] if model.artifact else "no digest"
    return f"{model.uri} ({digest}) of FineTuneJob {model.fine_tune_job}"
