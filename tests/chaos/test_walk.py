"""A walk edits when it should, compares every end, and says which one it could not judge."""

import copy
from types import SimpleNamespace

import pytest

from fairlead_chaos import walk
from fairlead_chaos.findings import Finding, Wrong
from fairlead_chaos.subject import Subject
from fairlead_chaos.transitions import State, Way, merged
from fairlead_chaos.walk import Access, Walk
from fairlead_operator import kube

OFF, ON, STUCK = (State("suspend", value, (("suspend", value),)) for value in ("off", "on", "no"))


class Api:
    """Resources whose operator acts once in a look, and never on what asks for STUCK."""

    def __init__(self, *, forgets=False, is_restless=False, hides=()):
        self.found, self.edits, self.num_looks = {}, {}, 0
        self.forgets, self.is_restless, self.hides = forgets, is_restless, hides

    async def create(self, manifest):
        name = manifest["metadata"]["name"]
        head = {"name": name, "generation": 1}
        self.found[name] = {"metadata": head, "spec": dict(manifest["spec"])}

    async def patch(self, _, name, change):
        one = self.found[name]
        self.edits.setdefault(name, []).append(one.get("status", {}).get("is"))
        one["spec"] = merged(one["spec"], change["spec"])
        one["metadata"]["generation"] += 1

    async def list(self, kind):
        if kind != kube.FINETUNEJOB:
            return []
        self.num_looks += 1
        is_hidden = self.num_looks % 10 == 0
        seen = copy.deepcopy(
            [one for name, one in self.found.items() if not (is_hidden and name in self.hides)]
        )
        for one in self.found.values():
            asked = one["spec"]["suspend"]
            if asked == "no":
                continue
            is_edited = self.forgets and one["metadata"]["generation"] > 1
            told = "nonsense" if is_edited else asked
            one["status"] = {"is": told, "observedGeneration": one["metadata"]["generation"]}
            one["status"]["beat"] = self.num_looks if self.is_restless else 0
        return seen


def subject(**options):
    def made(way):
        return Way((way.end,), way.context)

    def faults(way, found):
        same = found[made(way).name]["is"] == found[way.name]["is"]
        return [] if same else [f"is {found[way.name]['is']}"]

    return Subject(
        kind=kube.FINETUNEJOB,
        children=(kube.JOB,),
        label="any",
        spec=lambda state, _: dict(state.change),
        picture=lambda resource, _: resource["status"],
        rests=lambda way, found: found["is"] == way.end.name,
        needed=lambda way: [made(way)],
        faults=faults,
        **options,
    )


@pytest.fixture
def gone(monkeypatch):
    """Goes ways; its clock counts the looks, so that a busy machine is patient."""

    async def goes(api, *ways, **options):
        monkeypatch.setattr(walk, "LOOK_SECONDS", 0)
        monkeypatch.setattr(walk, "time", SimpleNamespace(monotonic=lambda: api.num_looks))
        access = Access(api.create, api.patch, api.list)
        return await Walk(access, subject(**options)).go(ways, {})

    return goes


WAY = Way((OFF, ON, OFF), "any")
HURRIED = Way((OFF, ON, OFF), "any", hurried=True)


@pytest.mark.parametrize(
    ("way", "options", "seen"),
    [
        pytest.param(WAY, {}, ["off", "on"], id="at-rest"),
        pytest.param(HURRIED, {}, [None, None], id="hurried"),
        pytest.param(HURRIED, {"stands_first": True}, ["off", "off"], id="hurried-once-it-stands"),
    ],
)
async def test_each_edit_comes_when_the_way_has_it(gone, way, options, seen):
    api = Api()
    assert await gone(api, way, **options) == {way.name: []}
    assert api.edits[walk.name_of(0)] == seen


async def test_end_unlike_the_one_made_so_is_wrong(gone):
    way = Way((OFF, ON), "any")
    assert await gone(Api(forgets=True), way) == {way.name: ["is nonsense"]}


async def test_way_that_sticks_is_told_and_ends_no_other(gone):
    stuck, well = Way((STUCK, ON), "any"), Way((OFF, ON), "any")
    found = await gone(Api(), stuck, well)
    assert found[well.name] == []
    assert "never came to rest" in found[stuck.name][0]


async def test_end_that_nothing_compares_with_is_told(gone):
    way = Way((OFF, STUCK), "any")
    assert "nothing to compare with" in (await gone(Api(), way))[way.name][0]


async def test_picture_that_changes_for_ever_is_told_with_what_changes(gone):
    way = Way((OFF, ON), "any")
    (line,) = (await gone(Api(is_restless=True), way))[way.name]
    assert "nothing to compare with" in line
    assert "changes again and again: /beat: expected" in line


async def test_resource_that_is_not_there_all_the_time_is_not_well(gone):
    way = Way((OFF, ON), "any")
    found = await gone(Api(hides=[walk.name_of(0)]), way)
    assert found == {way.name: ["nobody tells of its newest spec"]}


async def test_error_without_words_is_told_by_its_name(gone):
    way = Way((OFF, ON), "any")
    api = Api()
    api.patch = lambda *_: late()
    assert await gone(api, way) == {way.name: ["TimeoutError()"]}


async def late():
    raise TimeoutError


def test_what_was_wrong_meanwhile_is_told_of_the_way_that_it_names():
    ways = [Way((OFF, ON), "any"), Way((ON, OFF), "any")]
    of_one = Finding(Wrong.UNREST, f"patch finetunejobs/status/{walk.name_of(1)}")
    of_all = Finding(Wrong.LOG, "it ended")
    found = walk.by_way(ways, [of_one, of_all])
    assert found == {ways[1].name: [str(of_one)], f"{ways[0].name} … {ways[1].name}": [str(of_all)]}
