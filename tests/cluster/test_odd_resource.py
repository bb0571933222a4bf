"""A free-form field that Python doesn't read stops nobody's work.

The API server takes ten thousand levels, where Python's JSON gives up at about a thousand; where it
keeps a field as it was sent, it also takes what is no Unicode. What one namespace holds is listed
and watched together with what all others hold.
"""

import json
import signal

import pytest

from fairlead_api import names
from fairlead_operator import kube

pytestmark = pytest.mark.cluster

NUM_LEVELS = 9000
SPEC = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "work"},
    "deepspeed": {"config": {"here": "ODD"}},
}
DEEP = b'{"a":' * NUM_LEVELS + b"1" + b"}" * NUM_LEVELS


def text_of(body, odd):
    """JSON with the odd value where the body says so."""
    return json.dumps(body).encode().replace(b'"ODD"', odd)


def fine_tune_job(name):
    head = {"name": name}
    return {"apiVersion": names.API_VERSION, "kind": names.FINETUNEJOB, "metadata": head}


def revision(name):
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_MODELSERVICE: "serve"}
    head = {"name": name, "labels": labels}
    kind = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": head}
    return kind | {"revision": 1, "data": {"template": "ODD"}}


ODD = {
    "deep-job": (kube.FINETUNEJOB, fine_tune_job("odd") | {"spec": SPEC}, DEEP),
    "deep-revision": (kube.REVISION, revision("odd"), DEEP),
    "half-a-surrogate-pair": (kube.REVISION, revision("odd"), b'"\\ud800"'),
    "no-text": (kube.REVISION, revision("odd"), b'"\xff"'),
}


@pytest.mark.parametrize(("kind", "body", "odd"), ODD.values(), ids=ODD)
async def test_others_are_served_beside_an_odd_object(
    team, start, until, kubectl, api, tmp_path, kind, body, odd
):
    async def served(name):
        heads = await api.list_heads(kube.JOB, team)
        return any(head["metadata"]["name"].startswith(f"{name}-") for head in heads)

    async def make(name):
        flat = SPEC | {"deepspeed": {"config": {}}}
        head = {"metadata": {"name": name, "namespace": team}}
        await api.create(fine_tune_job(name) | head | {"spec": flat})

    async def refused():
        live = await api.get(kind, team, "odd")
        said = (live.get("status") or {}).get("conditions") or []
        return ("Admitted", "ArgumentRefused") in [(one["type"], one["reason"]) for one in said]

    one = start("one")
    await one.leading()
    file = tmp_path / "odd.json"
    file.write_bytes(text_of(body, odd))
    kubectl("create", "--raw", kind.path(team), "-f", str(file))
    await make("before")
    await until(lambda: served("before"), "a job is served beside it")
    if kind == kube.FINETUNEJOB:
        await until(refused, "it is told why it is not")
    one.stop(signal.SIGTERM)
    two = start("two")
    await two.leading()
    await make("after")
    await until(lambda: served("after"), "a job is served by an operator that finds it there")
