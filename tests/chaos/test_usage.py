"""What a lab's operators call is counted campaign by campaign, though the log's files go."""

import asyncio
import contextlib
import json
from types import SimpleNamespace

import pytest

from fairlead_chaos import tenant, usage
from fairlead_chaos.rights import account_of

HOME = tenant.PLACEHOLDER
LIST, GET, DELETE = "list pods in its namespaces", "get pods in its namespaces", "delete pods"


def rbac():
    """What a chart may grant in one namespace: two verbs, and one everywhere."""
    account = {"kind": "ServiceAccount", "name": "fairlead-operator", "namespace": HOME}
    rules = {"Role": ["get", "list"], "ClusterRole": ["delete"]}
    for kind, verbs in rules.items():
        head = {"name": "operator"} | ({"namespace": HOME} if kind == "Role" else {})
        rule = {"apiGroups": [""], "resources": ["pods"], "verbs": verbs}
        yield {"kind": kind, "metadata": head, "rules": [rule]}
        reference = {"kind": kind, "name": "operator"}
        yield {
            "kind": f"{kind}Binding",
            "metadata": head,
            "roleRef": reference,
            "subjects": [account],
        }


@pytest.fixture
def lab(tmp_path):
    log = tmp_path / "audit.log"
    log.write_text(call("chaos-1", "get"))  # before anybody asked
    return SimpleNamespace(rbac=list(rbac()), audit_log=log, namespaces=["chaos-0"])


@pytest.fixture
def used(lab):
    with contextlib.closing(usage.Usage(lab)) as opened:
        yield opened


def call(home, verb, namespace=None, **more):
    """A line of the log, written as the API server does."""
    what = {"resource": "pods", "namespace": namespace or home, "name": "one", "apiVersion": "v1"}
    event = {
        "kind": "Event",
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": account_of(home, "fairlead-operator"), "uid": "1"},
        "objectRef": what,
        "responseStatus": {"code": 200},
    }
    return json.dumps(event | more, separators=(",", ":")) + "\n"


def append(lab, *lines):
    with lab.audit_log.open("a") as file:
        file.writelines(lines)


def put_aside(lab, number):
    lab.audit_log.rename(lab.audit_log.with_name(f"audit-{number}.log"))
    lab.audit_log.touch()


@pytest.fixture(autouse=True)
def nothing_is_rare(monkeypatch):
    monkeypatch.setattr(usage, "RARE", {})


def test_calls_of_all_runs_are_held_against_one_rendering(lab, used):
    lab.namespaces += ["chaos-1", "chaos-10"]
    append(lab, call("chaos-1", "get"), call("chaos-10", "list"))
    taken = used.taken()
    assert (taken.num_runs, taken.unread) == (2, ())
    assert (taken.comparison.missing, taken.comparison.unused) == (set(), {DELETE})


@pytest.mark.parametrize("other", ["chaos-10", "chaos-", "kube-system"])
def test_a_call_into_another_s_namespace_is_missing(lab, used, other):
    lab.namespaces += ["chaos-1", "chaos-10"]
    append(lab, call("chaos-1", "get", namespace=other), call("chaos-1", "delete", namespace=other))
    comparison = used.taken().comparison
    account = account_of(HOME, "fairlead-operator")
    assert comparison.missing == {f"{account}: get pods in {other} named one"}
    assert comparison.used == {DELETE}


NOT_COUNTED = [
    pytest.param(call("elsewhere", "watch"), id="of-another-lab"),
    pytest.param(call("chaos-1", "watch", stage="RequestReceived"), id="that-only-begins"),
    pytest.param(call("chaos-1", "watch", user={"username": "somebody"}), id="of-somebody"),
    pytest.param(
        call("chaos-1", "watch", user={"username": account_of("chaos-1", "default")}),
        id="of-another-account",
    ),
]


@pytest.mark.parametrize("line", NOT_COUNTED)
def test_a_call_is_not_counted(lab, used, line):
    lab.namespaces += ["chaos-1"]
    append(lab, line)
    comparison = used.taken().comparison
    assert (comparison.missing, comparison.used) == (set(), set())


def test_each_campaign_has_its_own_runs_and_calls(lab, used):
    lab.namespaces += ["chaos-1"]
    append(lab, call("chaos-1", "get"))
    assert (used.taken().num_runs, used.taken().comparison.used) == (1, set())
    lab.namespaces += ["chaos-2", "chaos-3"]
    append(lab, call("chaos-2", "list"))
    taken = used.taken()
    assert (taken.num_runs, taken.comparison.used) == (2, {LIST})


def test_what_is_read_on_in_time_outlives_the_log_s_files(lab, used):
    lab.namespaces += ["chaos-1"]
    for number, verb in enumerate(("get", "list", "delete")):
        append(lab, call("chaos-1", verb))
        used.read_on()
        put_aside(lab, number)
        used.read_on()
        lab.audit_log.with_name(f"audit-{number}.log").unlink()
    taken = used.taken()
    assert (taken.comparison.unused, taken.unread) == (set(), ())


def test_calls_that_nobody_read_in_time_are_told_and_once(lab, used):
    lab.namespaces += ["chaos-1"]
    append(lab, call("chaos-1", "get"))
    put_aside(lab, 0)
    lab.audit_log.with_name("audit-0.log").unlink()
    append(lab, call("chaos-1", "list"))
    (why,) = used.taken().unread
    assert "not seen" in why
    assert used.taken().unread == ()


async def test_log_is_read_on_while_runs_go_on(lab, monkeypatch):
    monkeypatch.setattr(usage, "FOLLOW_SECONDS", 0.001)
    read = asyncio.Event()
    lines = usage.AuditLog.lines

    def told(log):
        for line in lines(log):
            yield line
            read.set()

    monkeypatch.setattr(usage.AuditLog, "lines", told)
    async with usage.following(lab) as used:
        lab.namespaces += ["chaos-1"]
        append(lab, call("chaos-1", "get"))
        async with asyncio.timeout(60):
            await read.wait()
        lab.audit_log.unlink()
        lab.audit_log.touch()
        assert used.taken().comparison.used == {GET}
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_what_breaks_the_reading_is_told_in_the_end(lab, monkeypatch):
    monkeypatch.setattr(usage.Usage, "read_on", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        async with usage.following(lab):
            await asyncio.sleep(0)


async def test_who_follows_is_cancelled_where_he_is_cancelled(lab):
    async def followed():
        async with usage.following(lab):
            pass

    following = asyncio.create_task(followed())
    await asyncio.sleep(0)  # it has told the reading to end, and waits for that
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
