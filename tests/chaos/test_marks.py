"""A lab's marks hold CRDs as long as the lab is open, though its process lives on; no cluster."""

import asyncio
import os

import pytest

from fairlead_chaos import crds, lifeline
from fairlead_operator import kube

OWN = f"{lifeline.name_of(os.getpid())}-1"
NEXT = f"{lifeline.name_of(os.getpid())}-2"
OTHERS = f"{lifeline.name_of(os.getppid())}-1"  # of a process that lives
DEAD = f"{os.getpid()}-0-dead"


class Cluster:
    """CRDs by name, as the harness's client reads and writes them."""

    def __init__(self, **labs):
        """Some that stand already, each with the marks of these labs."""
        self.heads = {}
        self.broken = set()
        """Names of those that can't be deleted."""
        for name, marks in labs.items():
            self._make(body(name, *marks))

    def _make(self, manifest):
        head = manifest["metadata"] | {"uid": "1", "resourceVersion": "1"}
        self.heads.setdefault(head["name"], head)

    async def ensure(self, manifest):
        await asyncio.sleep(0)
        self._make(manifest)

    async def listing(self, kind, *, accept):
        return {"items": [{"metadata": head} for head in self.heads.values()]}

    async def call(self, method, path, options=None):
        name = path.rpartition("/")[2]
        if name not in self.heads:
            raise kube.NotFound(path, 404)
        if method == "DELETE" and name in self.broken:
            raise kube.Forbidden(path, 403)
        return {"metadata": self.heads.pop(name) if method == "DELETE" else self.heads[name]}

    async def patch(self, kind, namespace, name, change):
        changed = self.heads[name].get("labels", {}) | change["metadata"]["labels"]
        labels = {label: value for label, value in changed.items() if value is not None}
        self.heads[name] = self.heads[name] | {"labels": labels}

    def marked(self):
        return {name: set(head.get("labels", {})) for name, head in self.heads.items()}


def body(name, *labs):
    labels = {"labels": {crds.mark(lab): "" for lab in labs}} if labs else {}
    return {"kind": "CustomResourceDefinition", "metadata": {"name": name} | labels}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(crds, "_POLL_SECONDS", 0)


async def test_none_is_made_after_another_one_could_not_be():
    class Refusing(Cluster):
        async def ensure(self, manifest):
            if manifest["metadata"]["name"] == "refused":
                raise kube.Forbidden("refused", 403)
            for _ in range(100):  # longer than the way out takes
                await asyncio.sleep(0)
            await super().ensure(manifest)

    cluster = Refusing()
    with pytest.raises(ExceptionGroup):
        async with crds.held(cluster, [body("slow"), body("refused")], OWN):
            pytest.fail("nothing to be held")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert cluster.heads == {}


async def test_what_one_lab_could_not_let_go_the_next_of_its_process_does():
    cluster = Cluster()
    with pytest.raises(ExceptionGroup):
        async with crds.held(cluster, [body("a"), body("b")], OWN):
            cluster.broken.add("a")
    assert cluster.marked() == {"a": {crds.mark(OWN)}}, "the other one is gone all the same"
    cluster.broken.clear()
    async with crds.held(cluster, [body("a"), body("b")], NEXT):
        pass
    assert cluster.heads == {}


async def test_an_open_lab_of_the_same_process_keeps_them():
    cluster = Cluster()
    async with crds.held(cluster, [body("a")], OWN):
        async with crds.held(cluster, [body("a")], NEXT):
            pass
        assert cluster.marked() == {"a": {crds.mark(OWN)}}
    assert cluster.heads == {}


async def test_only_what_dead_labs_alone_have_marked_is_cleared():
    cluster = Cluster(dead=(DEAD, "1-0"), closed=(OWN,), shared=(DEAD, OTHERS), foreign=())
    await crds.clear(cluster)
    assert cluster.marked() == {"shared": {crds.mark(OTHERS)}, "foreign": set()}
