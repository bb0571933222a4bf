"""Revisions: what was served, by the hash of its whole pod template.

A revision is kept as a ControllerRevision, so that a rollback or a new replica needs neither the
spec of that day nor the operator of that day.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead_api import names
from fairlead_api.modelservice import ModelService, PinnedModel
from fairlead_operator.plan import Manifest
from fairlead_operator.serving import children, pod
from fairlead_operator.serving.options import Options

_LENGTH: Final = 10
# Kubernetes' own choice for generated names: no vowels, so no words; no 0, 1 and 3.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True)
class Revision:
    """One pod template that is or was served."""

    name: str
    """Hash of the template."""
    template: Manifest = field(repr=False)
    inputs: str
    """Hash of what was asked for when the template was rendered."""
    model: PinnedModel
    """What it serves: kept here, the pin outlives the job and later changes of the spec."""
    number: int
    """Order of creation."""
    uid: str = ""
    """Uid of the ControllerRevision; empty before it is seen."""


def wanted(
    service: ModelService,
    model: PinnedModel,
    known: Iterable[Revision],
    unproven: Collection[str],
    options: Options,
) -> Revision:
    """The revision that the spec asks for; raises ArgumentRefused.

    What was asked for before is not rendered again: so a new operator or a new server image
    restarts no service that nobody touched. Only what never served (``unproven``) is, for a
    corrected image must reach the service that waits for it.
    """
    newest_first = sorted(known, key=lambda revision: revision.number, reverse=True)
    asked = inputs(service, model)
    before = next((revision for revision in newest_first if revision.inputs == asked), None)
    if before is not None and before.name not in unproven:
        return before
    template = pod.template(service, model, options)
    name = short_hash(template)
    for revision in newest_first:
        if revision.name == name:
            return revision
    number = newest_first[0].number + 1 if newest_first else 1
    return Revision(name, template, asked, model, number)


def inputs(service: ModelService, model: PinnedModel) -> str:
    """Hash of all that a user can ask for of a pod."""
    # Defaults left out: a field that a newer operator adds changes no hash.
    spec = service.spec.model_dump(
        mode="json", exclude_defaults=True, exclude={"replicas", "gateway_refs", "model"}
    )
    return short_hash(
        {
            "spec": spec,
            "uri": model.uri,
            "digest": model.artifact.digest if model.artifact else "",
            "restartedAt": service.metadata.annotations.get(names.ANNOTATION_RESTARTED_AT, ""),
        }
    )


def short_hash(value: Any) -> str:
    """Ten safe characters that stand for a JSON value."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    number = int.from_bytes(hashlib.sha256(canonical).digest())
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def controller_revision(service: ModelService, revision: Revision) -> Manifest:
    """The ControllerRevision that keeps a revision."""
    name = names.revision_name(service.metadata.name, revision.name)
    metadata = children.metadata(service, name, revision.name)
    metadata["annotations"] = {names.ANNOTATION_INPUTS: revision.inputs}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": revision.number,
        "data": {"template": revision.template, "model": revision.model.as_object()},
    }


def read(manifest: Manifest) -> Revision:
    """The revision that a ControllerRevision keeps."""
    metadata = manifest["metadata"]
    return Revision(
        name=children.revision_of(manifest),
        template=manifest["data"]["template"],
        inputs=metadata.get("annotations", {}).get(names.ANNOTATION_INPUTS, ""),
        model=PinnedModel.model_validate(manifest["data"]["model"]),
        number=manifest["revision"],
        uid=metadata["uid"],
    )
