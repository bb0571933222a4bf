"""Mutating requests: numbered, named, and met by the faults of a plan."""

import contextlib
import json

import aiohttp
import pytest

from fairlead_chaos import faults
from fairlead_chaos.faults import Kill, Moment, Write

pytestmark = pytest.mark.cluster
SELECTOR = "labelSelector=chaos.test/proxy"
LABELS = {"chaos.test/proxy": ""}
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def sent(chaos):
    return [
        (one.write.verb, one.write.resource, one.write.name, one.write.nth, one.code, one.answered)
        for one in chaos.trace.sent
    ]


async def test_each_write_is_numbered_named_and_said_to_have_an_effect_or_none(chaos, config_map):
    one = await chaos()
    through, apply = one.caller, {"content": APPLY}
    force = "?fieldManager=test&force=true"
    applied = config_map("applied", n="1")
    assert (await through.create("made", n="0"))[0] == 201
    assert (await through.create("made", n="0"))[0] == 409
    assert (await through.edit("made", n="1"))[0] == 200
    assert (await through.edit("made", n="1"))[0] == 200
    assert (await through.ask("PATCH", "applied", applied, force, **apply))[0] == 201
    assert (await through.ask("PATCH", "applied", applied, force, **apply))[0] == 200
    generated = config_map("") | {"metadata": {"generateName": "some-", "labels": LABELS}}
    code, made = await through.ask("POST", body=generated)
    assert (code, (await through.delete(made["metadata"]["name"]))[0]) == (201, 200)
    assert (await through.ask("DELETE", query=f"?{SELECTOR}"))[0] == 200
    found = [
        (one.number, one.write.verb, one.write.name, one.write.nth, one.is_new, one.has_effect)
        for one in one.trace.sent
    ]
    assert found == [
        (1, "create", "made", 1, True, True),
        (2, "create", "made", 2, False, True),
        (3, "patch", "made", 1, False, True),
        (4, "patch", "made", 2, False, False),
        (5, "patch", "applied", 1, True, True),
        (6, "patch", "applied", 2, False, False),
        (7, "create", "some-*", 1, True, True),
        (8, "delete", "some-*", 1, False, True),
        (9, "delete", "*", 1, False, True),
    ]
    assert {one.answered for one in one.trace.sent} == {"relayed"}


async def test_write_without_effect_is_known_from_a_listing_alone(chaos, direct):
    await direct.create("made", n="1")
    one = await chaos()
    await one.caller.list()
    await one.caller.edit("made", n="1")
    await one.caller.edit("made", n="2")
    assert [one.has_effect for one in one.trace.sent] == [False, True]


async def test_heartbeats_are_put_down_apart(chaos):
    one = await chaos()
    path = one.path.replace("/api/v1/", "/apis/coordination.k8s.io/v1/").replace(
        "configmaps", "leases"
    )
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "leader"},
        "spec": {},
    }
    assert (await one.caller.raw("POST", path, lease))[0] == 201
    assert one.trace.sent == []
    assert [(one.number, one.write) for one in one.trace.apart] == [
        (0, Write("create", "leases", "leader"))
    ]


KILLS = [
    pytest.param(Moment.BEFORE_SEND, False, 0, "nothing", id="before-send"),
    pytest.param(Moment.AFTER_COMMIT, True, 201, "nothing", id="after-commit"),
    pytest.param(Moment.AFTER_REPLY, True, 201, "relayed", id="after-reply"),
]


@pytest.mark.parametrize(("moment", "is_made", "code", "answered"), KILLS)
async def test_kill_around_a_write(chaos, direct, gone, moment, is_made, code, answered):
    point = Write("create", "configmaps", "made")
    one = await chaos(Kill(point, moment))
    await one.caller.create("other")
    if moment == Moment.AFTER_REPLY:
        one.may_die.clear()
        assert (await one.caller.create("made"))[0] == 201
        one.may_die.set()
    else:
        with gone():
            await one.caller.create("made")
    await one.restart()
    assert ("made" in (await direct.list())[0]) == is_made
    assert (await one.caller.create("made"))[0] == (409 if is_made else 201)
    assert one.num_kills == 1
    assert one.trace.reached == [point]
    assert sent(one)[1:] == [
        ("create", "configmaps", "made", 1, code, answered),
        ("create", "configmaps", "made", 2, 409 if is_made else 201, "relayed"),
    ]
    assert [one.incarnation for one in one.trace.sent] == [1, 1, 2]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda at: Kill(at, Moment.AFTER_COMMIT), id="kill-after-commit"),
        pytest.param(lambda at: Kill(at, Moment.AFTER_REPLY), id="kill-after-reply"),
        pytest.param(faults.LoseReply, id="lost-reply"),
    ],
)
async def test_patch_that_was_outrun_is_met_by_nothing_and_the_next_has_its_number(
    chaos, direct, fault
):
    await direct.create("made", n="0")
    point = Write("patch", "configmaps", "made")
    one = await chaos(fault(point))
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"n": "1"}}
    assert (await one.caller.ask("PATCH", "made", stale, content=MERGE))[0] == 409
    assert (one.num_kills, one.trace.reached) == (0, [])
    with contextlib.suppress(aiohttp.ClientError):  # AFTER_REPLY: the reply may come through
        await one.caller.edit("made", n="2")
    assert one.trace.reached == [point]
    assert (await direct.list())[0]["made"] == {"n": "2"}
    assert [(sent.write.nth, sent.code) for sent in one.trace.sent] == [(1, 409), (1, 200)]


REFUSALS = [
    pytest.param(409, "Conflict", None, id="conflict"),
    pytest.param(429, "TooManyRequests", 1, id="too-many"),
    pytest.param(500, "InternalError", None, id="internal"),
    pytest.param(504, "Timeout", 2, id="timeout"),
]


@pytest.mark.parametrize(("code", "reason", "retry_after"), REFUSALS)
async def test_refused_request_is_answered_as_the_api_server_does(
    chaos, direct, code, reason, retry_after
):
    await direct.create("made", n="0")
    point = Write("patch", "configmaps", "made", 2)
    one = await chaos(faults.Refuse(point, code, 2, retry_after))
    codes = [(await one.caller.edit("made", n="1"))[0]]
    _, content, headers = await one.caller.raw(
        "PATCH", f"{one.path}/made", {"data": {"n": "2"}}, **{"Content-Type": MERGE}
    )
    status = json.loads(content)
    assert (status["kind"], status["code"], status["reason"]) == ("Status", code, reason)
    assert headers.get("Retry-After") == (str(retry_after) if retry_after else None)
    assert status["details"].get("retryAfterSeconds") == retry_after
    codes += [(await one.caller.edit("made", n="3"))[0], (await one.caller.edit("made", n="4"))[0]]
    assert codes == [200, code, 200]
    assert (await direct.list())[0]["made"] == {"n": "4"}
    assert [entry[-1] for entry in sent(one)] == ["relayed", "refused", "refused", "relayed"]
    assert one.trace.reached == [point]


async def test_conflict_is_worded_as_the_api_servers_own(chaos, direct, config_map):
    await direct.create("made", n="0")
    one = await chaos(faults.Refuse(Write("update", "configmaps", "made", 2), 409))
    stale = config_map("made", n="1")
    stale["metadata"]["resourceVersion"] = "1"
    real = await one.caller.ask("PUT", "made", stale)
    assert await one.caller.ask("PUT", "made", stale) == real
    assert [one.code for one in one.trace.sent] == [409, 0]


async def test_lost_reply_breaks_the_connection_and_nobody_dies(chaos, direct, gone):
    point = Write("create", "configmaps", "made")
    one = await chaos(faults.LoseReply(point))
    with gone():
        await one.caller.create("made")
    assert "made" in (await direct.list())[0]
    assert (await one.caller.create("made"))[0] == 409
    assert (one.num_kills, one.trace.reached) == (0, [point])
    assert [entry[-1] for entry in sent(one)] == ["lost", "relayed"]


async def test_lost_reply_of_a_delete_is_asked_for_again_by_the_client_library(chaos, direct):
    """Aiohttp, the operator's own, repeats what is idempotent on a connection that it reused."""
    await direct.create("made")
    point = Write("delete", "configmaps", "made")
    one = await chaos(faults.LoseReply(point))
    await one.caller.list()
    assert (await one.caller.delete("made"))[0] == 404
    assert [(one.write.nth, one.code, one.answered) for one in one.trace.sent] == [
        (1, 200, "lost"),
        (2, 404, "relayed"),
    ]
