"""The operator as ``reconcile``, ``act``, ``store`` and ``intake`` run it, in single steps.

A step is: take the resource from the queue and plan; send one write; die; be told of changes by
one watch. A write may go well, be refused for now, or be committed with its reply lost, and then
the client sends it again. A watch may lag as long as it likes, but tells each kind in order and
in the end; own writes are in the cache at once. Death loses plan, queue and timers; the next
operator lists everything anew.

Not modelled: two operators at a time, a listing that is older than what was known, an error that
``plan()`` raises, progress reports.
"""

from collections.abc import Iterator
from typing import Final

from fairlead_api.conditions import Reason
from fairlead_model import apiserver, failures
from fairlead_model.apiserver import Answer
from fairlead_model.domain import Domain
from fairlead_model.objects import (
    Obj,
    aged,
    drop,
    find,
    of_kind,
    put,
    status_of,
    with_uid,
)
from fairlead_model.state import BIT, KINDS, Pass, Planned, State, Step, Write, is_watched
from fairlead_operator.plan import controller, is_leftover

BEGIN: Final = ("operator", "plan")
RETRY: Final = ("operator", "try again")
DIE: Final = ("operator", "die")


class Operator:
    """The steps of the operator over one resource."""

    def __init__(self, domain: Domain, lagging: frozenset[str] = frozenset()) -> None:
        self._domain = domain
        self.lagging = lagging
        """Kinds whose watches may lag; the others tell at once."""

    # --- watches -----------------------------------------------------------------------
    def deliver(self, state: State, kind: str) -> State:
        """The watch of a kind tells all that it knows."""
        live, held = of_kind(state.live, kind), of_kind(state.cache, kind)
        others = tuple(obj for obj in state.cache if obj.kind != kind)
        # The echo of an own status write concerns nobody; that of a child's write does.
        wakes = kind != self._domain.kind or live != held
        cache = tuple(sorted((*others, *(o for o in live if is_watched(o))), key=lambda o: o.key))
        return state._replace(
            cache=cache, untold=state.untold & ~BIT[kind], dirty=state.dirty or wakes
        )

    def settled(self, state: State) -> State:
        """The state when the watches that don't lag have told everything."""
        if state.untold:
            for kind in KINDS:
                if state.untold & BIT[kind] and kind not in self.lagging:
                    state = self.deliver(state, kind)
        return state

    def deliveries(self, state: State) -> Iterator[Step]:
        """Each lagging watch that has something to tell."""
        if state.untold:
            for kind in KINDS:
                if state.untold & BIT[kind]:
                    yield Step(("watch", kind), self.deliver(state, kind))

    # --- passes ------------------------------------------------------------------------
    def work(self, state: State) -> Iterator[Step]:
        """The operator's next step, if it has one; undisturbed."""
        if state.doing is not None:
            yield self._send(state)
        elif state.dirty:
            yield self._begin(state)

    def retries(self, state: State) -> Iterator[Step]:
        """A resource whose pass failed is looked at again after a little while."""
        if state.backoff:
            yield Step(RETRY, state._replace(dirty=True, backoff=False))

    def troubles(self, state: State) -> Iterator[Step]:
        """What may go wrong with the operator and its calls now; each is a disturbance."""
        calm = state._replace(left=state.left - 1)
        if state.doing is None:
            if state.timer or state.cache != self._listed(state):
                yield Step(DIE, self.died(calm))
            return
        yield Step(DIE, self.died(calm))
        write = state.doing.rest[0]
        refused = calm._replace(doing=None, backoff=True)
        yield Step((*_label(write), "refused"), refused)
        answer, harm = self._commit(calm, write)
        if answer.state.live != calm.live:
            again = calm._replace(live=answer.state.live, facts=answer.state.facts)
            again = again._replace(untold=answer.state.untold)
            sent = self._send(again)
            yield Step((*_label(write), "reply lost"), sent.state, harm or sent.harm)
            yield Step((*_label(write), "then die"), self.died(again), harm)

    def died(self, state: State) -> State:
        """Another operator begins: it lists everything, and the resource is to be looked at."""
        return state._replace(
            cache=self._listed(state),
            untold=0,
            doing=None,
            dirty=True,
            backoff=False,
            timer=False,
        )

    def _listed(self, state: State) -> tuple[Obj, ...]:
        return tuple(
            obj for obj in state.live if obj.kind in self._domain.watched and is_watched(obj)
        )

    def _begin(self, state: State) -> Step:
        """Read the resource, observe, plan; a plan without writes is done at once."""
        blind, state = state.untold, state._replace(dirty=False, backoff=False)
        seen = find(state.cache, self._domain.kind, self._domain.name)
        if seen is None or seen.manifest["metadata"].get("deletionTimestamp"):
            return Step(BEGIN, state)
        state = self.observed(state)
        planned = self._domain.plan(state.cache, state.facts)
        harm = self._domain.judge_plan(state, seen, planned)
        rest = self.writes(seen, planned)
        if not rest:
            return Step(BEGIN, state._replace(timer=state.timer or planned.again), harm)
        return Step(BEGIN, state._replace(doing=Pass(seen, rest, planned.again, blind)), harm)

    def observed(self, state: State) -> State:
        """The state after the observer has read live what the planner must not miss."""
        return self._domain.caught_up(state)

    def writes(self, seen: Obj, planned: Planned) -> tuple[Write, ...]:
        """What a plan makes of it: status where it differs, acts in order, an error's end."""
        rest, error, status = list(planned.writes), failures.error_of(seen), planned.status
        if status is not None:
            status = failures.with_error(status.manifest["status"], error)
            if status.manifest["status"] != seen.manifest.get("status", {}):
                rest.insert(0, Write("status", status))
        if error:
            stands = status or status_of(seen.manifest.get("status", {}))
            rest.append(Write("recover", failures.with_error(stands.manifest["status"], [])))
        return tuple(rest)

    def _send(self, state: State) -> Step:
        """Send the next write and take in its answer."""
        assert state.doing is not None
        write = state.doing.rest[0]
        answer, harm = self._commit(state, write)
        return Step(_label(write), self._take_in(answer, write), harm)

    def _commit(self, state: State, write: Write) -> tuple[Answer, str]:
        """What the API server does, and what is wrong with it."""
        assert state.doing is not None
        answer = self.carried_out(state, write)
        if answer.state.live == state.live:
            return answer, ""
        judged = self._domain.committed(state, write, answer.state, answer.obj)
        harm = judged.harm
        if write.verb in ("status", "recover", "failure"):
            assert answer.obj is not None
            if answer.obj.uid != state.doing.seen.uid:
                harm = f"a status made for {state.doing.seen} is written to {answer.obj}"
        return Answer(judged.state, answer.says, answer.obj), harm

    def carried_out(self, state: State, write: Write) -> Answer:
        """One call to the API server, preconditions and all."""
        assert state.doing is not None
        if not self._domain.serves(state.facts, write.body.kind):
            return Answer(state, apiserver.NOT_SERVED)
        if write.verb == "create":
            return apiserver.create(state, write)
        if write.verb in ("delete", "apply") and _is_overtaken(state, write):
            return Answer(state, apiserver.CONFLICT)
        if write.verb == "delete":
            return apiserver.delete(state, write)
        if write.verb == "apply":
            return _apply(state, write)
        return apiserver.apply_status(state, state.doing.seen, write.body)

    def _take_in(self, answer: Answer, write: Write) -> State:
        state = answer.state
        assert state.doing is not None
        if answer.says == apiserver.EXISTS:
            return self.in_the_way(state, write, answer.obj)
        if answer.says == apiserver.CONFLICT:
            return self._read_again(state)
        if answer.says == apiserver.NOT_SERVED:
            return self._fail(state, Reason.REFUSED, f"{write.body.kind} isn't served")
        if answer.says == apiserver.NOT_FOUND and write.verb != "delete":
            return state._replace(doing=None, backoff=True)
        return self.go_on(_cached(state, write, answer.obj), write, answer.obj)

    def go_on(self, state: State, write: Write, made: Obj | None) -> State:
        """Go on with the pass after a write that went well."""
        assert state.doing is not None
        doing = state.doing._replace(rest=state.doing.rest[1:])
        if write.verb in ("status", "recover", "failure"):
            assert made is not None
            doing = doing._replace(seen=made)
        if write.verb == "failure":
            return state._replace(doing=None, backoff=True)
        if doing.rest:
            return state._replace(doing=doing)
        return state._replace(doing=None, timer=state.timer or doing.again)

    def in_the_way(self, state: State, write: Write, standing: Obj | None) -> State:
        """A create or an apply found an object of that name that the cache didn't show."""
        assert standing is not None and state.doing is not None
        owner = controller(write.body.manifest)
        if standing.owner == owner["uid"]:
            return self.go_on(_cached(state, write, standing), write, standing)
        if is_leftover(standing.manifest, owner["kind"], owner["name"], owner["uid"]):
            return self._read_again(state._replace(cache=put(state.cache, standing)))
        text = f"{write.body.kind} {write.body.name} exists already and isn't ours"
        return self._fail(state, Reason.FOREIGN_CHILD, text)

    def _fail(self, state: State, reason: Reason, message: str) -> State:
        """Name a failed pass in the status, and try again a little later."""
        seen = find(state.cache, self._domain.kind, self._domain.name)
        if seen is None:
            return state._replace(doing=None, backoff=True)
        named = failures.named(seen, reason, message)
        failure = failures.with_error(seen.manifest.get("status", {}), [named])
        if failure.manifest["status"] == seen.manifest.get("status"):
            return state._replace(doing=None, backoff=True)
        return state._replace(doing=Pass(seen, (Write("failure", failure),), False, 0))

    def _read_again(self, state: State) -> State:
        """Renew the cache after a conflict: the resource, and its children if that was not it."""
        state = state._replace(doing=None, backoff=True)
        held = find(state.cache, self._domain.kind, self._domain.name)
        if held is None:
            return state
        renewed = _renewed(state, held)
        if renewed.cache != state.cache:
            return renewed
        for child in state.cache:
            if child is not held:
                state = _renewed(state, child)
        return state


def _is_overtaken(state: State, write: Write) -> bool:
    """Whether the child that was seen has changed since: a write carries its version too."""
    seen = find(state.cache, write.body.kind, write.body.name)
    standing = find(state.live, write.body.kind, write.body.name)
    return seen is not None and seen.uid == write.uid and standing not in (None, seen)


def _apply(state: State, write: Write) -> Answer:
    """An apply to a child that wasn't seen looks first who bears its name."""
    if not write.uid:
        standing = find(state.live, write.body.kind, write.body.name)
        if standing is not None and standing.owner != write.body.owner:
            return Answer(state, apiserver.EXISTS, standing)
    return apiserver.apply(state, write)


def _cached(state: State, write: Write, made: Obj | None) -> State:
    """Own writes go into the cache at once."""
    if made is not None:
        return state._replace(cache=put(state.cache, made))
    held = with_uid(state.cache, write.uid)
    return state if held is None else state._replace(cache=drop(state.cache, held))


def _renewed(state: State, held: Obj) -> State:
    live = find(state.live, held.kind, held.name)
    cache = drop(state.cache, held) if live is None else put(state.cache, live)
    return state._replace(cache=cache)


def _label(write: Write) -> tuple[str, ...]:
    return ("operator", write.verb, write.body.kind, write.body.name)


def pass_time(domain: Domain, state: State) -> State:
    """The state after a long time: every moment is past, and what waited for one is due."""
    doing = state.doing
    if doing is not None:
        rest = tuple(write._replace(body=aged(write.body)) for write in doing.rest)
        doing = doing._replace(seen=aged(doing.seen), rest=rest)
    return state._replace(
        live=tuple(map(aged, state.live)),
        cache=tuple(map(aged, state.cache)),
        doing=doing,
        dirty=state.dirty or state.backoff or state.timer,
        backoff=False,
        timer=False,
        facts=domain.aged(state.facts),
    )
