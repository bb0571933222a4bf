"""Rights that RBAC grants against rights that audit events show in use, both ways.

Pure: manifests and audit events come in, findings go out. It may decide what a call needed and
which rule allowed it; it may not read files or ask a cluster. It knows what the chart grants:
plain Roles bound to ServiceAccounts. A wildcard counts as a name of its own, so it is reported:
nothing is ever called "*".
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Self, TypeAlias

Manifest: TypeAlias = dict[str, Any]
DECISION: Final = "authorization.k8s.io/decision"
"""Annotation of an audit event: allow or forbid."""
Event: TypeAlias = dict[str, Any]
"""One entry of the API server's audit log, level Metadata or more."""

_FINISHED: Final = ("ResponseComplete", "ResponseStarted")
_EVERYBODYS: Final = "authorization.k8s.io"
"""The group in which each account may ask about itself, by Kubernetes' own system:basic-user."""


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource."""

    group: str
    """API group, empty for the core group."""
    resource: str
    """Plural, with its subresource after a slash; a path where the rule has nonResourceURLs."""
    verb: str
    namespace: str = ""
    """The one namespace that it is needed or granted in; empty: all, or there is none."""
    name: str = ""
    """The one object that it is needed for or granted on; empty: any."""

    def allows(self, needed: "Right") -> bool:
        """Whether this right, granted, is enough for that one."""
        return (
            (self.group, self.resource, self.verb) == (needed.group, needed.resource, needed.verb)
            and self.namespace in ("", needed.namespace)
            and self.name in ("", needed.name)
        )

    def plain(self) -> "Right":
        """Verb and resource alone."""
        return replace(self, namespace="", name="")

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {what}{where}{f' named {self.name}' if self.name else ''}"


_Kind: TypeAlias = tuple[Right, bool, bool]


@dataclass(frozen=True)
class Comparison:
    """What is granted and what was used; ``together`` makes one of several.

    Rules are written without where and on what they are granted.
    """

    granted: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    """Rules that a call of any account needed."""
    excused: Mapping[str, str] = field(default_factory=dict)
    """Rules that needn't be used, and why."""
    missing: frozenset[str] = frozenset()
    """Calls that no rule allows: account, right."""
    needless: frozenset[str] = frozenset()
    """Exceptions for rights that nobody is granted."""

    @property
    def unused(self) -> frozenset[str]:
        """Rules that no call needed, and should have."""
        return self.granted - self.used - self.excused.keys()

    def as_object(self) -> dict[str, Any]:
        """As JSON, sorted; ``of`` reads it."""
        return {
            name: dict(sorted(value.items())) if isinstance(value, Mapping) else sorted(value)
            for name, value in vars(self).items()
        }

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read JSON; whatever else stands there is passed by."""
        sets = {each.name: frozenset(body[each.name]) for each in fields(cls)}
        return cls(**sets | {"excused": body["excused"]})

    def __bool__(self) -> bool:
        """Whether there is a difference."""
        return bool(self.missing or self.unused or self.needless)


def together(parts: Sequence[Comparison]) -> Comparison:
    """Of several times, one at least, as if they were one: what each excuses is excused."""
    first, *_ = parts
    excused = set.intersection(*(set(each.excused) for each in parts))
    return Comparison(
        granted=frozenset().union(*(each.granted for each in parts)),
        used=frozenset().union(*(each.used for each in parts)),
        excused={rule: first.excused[rule] for rule in excused},
        missing=frozenset().union(*(each.missing for each in parts)),
        needless=frozenset().union(*(each.needless for each in parts)),
    )


def account_of(namespace: str, name: str) -> str:
    """The name by which the API server knows a ServiceAccount."""
    return f"system:serviceaccount:{namespace}:{name}"


def events_of(
    lines: Iterable[str], accounts: Collection[str], since: datetime | None = None
) -> Iterator[Event]:
    """The finished calls of some accounts among an audit log's lines.

    Args:
        lines: JSON, one event a line.
        accounts: User names, as ``account_of`` spells them.
        since: Calls that came in earlier are left out.

    Raises:
        ValueError: A line that names an account is no JSON.
    """
    for line in lines:
        if not any(account in line for account in accounts):
            continue
        event = json.loads(line)
        received = datetime.fromisoformat(event["requestReceivedTimestamp"])
        if event["user"]["username"] not in accounts or not is_finished(event):
            continue
        if since is None or received >= since:
            yield event


def is_finished(event: Event) -> bool:
    """Whether it tells of a call's end; of one that lasts, that it was let in."""
    return event["stage"] in _FINISHED


def needed(event: Event) -> frozenset[Right]:
    """The rights that a call needed: a server-side apply of something new needs two."""
    what = event.get("objectRef")
    if what is None or what.get("apiGroup") == _EVERYBODYS:
        return frozenset()  # discovery and questions about oneself are granted to everybody
    resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
    place, name = what.get("namespace", ""), what.get("name", "")
    # A name that a create carries was given by its body: no rule is asked about it.
    named = Right(what.get("apiGroup", ""), resource, event["verb"], place, name)
    create = replace(named, verb="create", name="")
    if event["verb"] == "create":
        return frozenset({create})
    is_new = event["verb"] == "patch" and (event.get("responseStatus") or {}).get("code") == 201
    return frozenset({named, create}) if is_new else frozenset({named})


def granted(objects: Iterable[Manifest]) -> dict[str, frozenset[Right]]:
    """The rights of each ServiceAccount that a binding among the objects names.

    Raises:
        LookupError: A binding's role is not among the objects.
    """
    found: dict[str, set[Right]] = {}
    every = list(objects)
    roles = {_place(each): each for each in every if each["kind"] in ("Role", "ClusterRole")}
    for binding in every:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        namespace, reference = binding["metadata"].get("namespace", ""), binding["roleRef"]
        home = namespace if reference["kind"] == "Role" else ""
        role = roles.get((reference["kind"], home, reference["name"]))
        if role is None:
            raise LookupError(f"{binding['metadata']['name']} binds a {reference} that isn't here")
        rights = set(_rights(role, namespace))
        for subject in binding.get("subjects") or []:
            if subject["kind"] == "ServiceAccount":
                account = account_of(subject.get("namespace", namespace), subject["name"])
                found.setdefault(account, set()).update(rights)
    return {account: frozenset(rights) for account, rights in found.items()}


class Ledger:
    """Holds calls, one after the other, against what is granted.

    Each account's calls are held against its own rules; a right counts as used where any account
    used it, so that many small installations together have to use every rule. Of several rules
    that allow a call the narrowest counts as used: a wider one beside it is reported.
    """

    def __init__(self, objects: Iterable[Manifest]) -> None:
        """Begin with rendered or live RBAC: roles with all their bindings."""
        self._grants = granted(objects)
        self._missing: set[str] = set()
        self._in_use: set[_Kind] = set()

    def add(self, event: Event) -> None:
        """Take a finished call of any account; those of accounts without a binding count not."""
        account = event["user"]["username"]
        for right in needed(event) if account in self._grants else ():
            allowing = [each for each in self._grants[account] if each.allows(right)]
            if allowing:
                self._in_use.add(_kind_of(max(allowing, key=_narrowness)))
            else:
                self._missing.add(f"{account}: {right}")

    def comparison(self, rare: Mapping[tuple[str, str, str], str]) -> Comparison:
        """What came out by now.

        Args:
            rare: (group, resource, verb) of granted rights that needn't be used here, and why.
        """
        given = {_kind_of(right) for rights in self._grants.values() for right in rights}
        excused = {Right(*each): why for each, why in rare.items()}
        return Comparison(
            frozenset(map(_titled, given)),
            frozenset(map(_titled, self._in_use)),
            {_titled(kind): excused[kind[0]] for kind in given if kind[0] in excused},
            frozenset(self._missing),
            frozenset(map(str, excused.keys() - {plain for plain, *_ in given})),
        )


def compare(
    events: Iterable[Event],
    objects: Iterable[Manifest],
    rare: Mapping[tuple[str, str, str], str] = MappingProxyType({}),
) -> Comparison:
    """Hold all of some calls against what is granted; see ``Ledger``."""
    ledger = Ledger(objects)
    for event in events:
        ledger.add(event)
    return ledger.comparison(rare)


def refused(events: Iterable[Event]) -> list[str]:
    """Calls that authorization refused; admission answers 403 too, and isn't meant."""
    return [
        f"{event['user']['username']}: {event['verb']} {event['requestURI']}"
        for event in events
        if (event.get("annotations") or {}).get(DECISION) == "forbid"
    ]


def _place(role: Manifest) -> tuple[str, str, str]:
    head = role["metadata"]
    return role["kind"], head.get("namespace", ""), head["name"]


def _rights(role: Manifest, namespace: str) -> Iterator[Right]:
    """Every single right of a role, as a binding in that namespace grants it."""
    for rule in role.get("rules") or []:
        for verb in rule["verbs"]:
            for path in rule.get("nonResourceURLs") or []:
                yield Right("", path, verb)
            for group in rule.get("apiGroups") or []:
                for resource in rule.get("resources") or []:
                    for name in rule.get("resourceNames") or [""]:
                        yield Right(group, resource, verb, namespace, name)


def _kind_of(right: Right) -> _Kind:
    """A right without the installation it belongs to: is it of one namespace, of one name?"""
    return right.plain(), bool(right.namespace), bool(right.name)


def _narrowness(right: Right) -> tuple[bool, bool]:
    return bool(right.namespace), bool(right.name)


def _titled(kind: _Kind) -> str:
    right, in_one, by_name = kind
    return f"{right}{' in its namespaces' if in_one else ''}{' by name' if by_name else ''}"
