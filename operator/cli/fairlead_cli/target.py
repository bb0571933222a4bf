"""What a command is about: ``finetunejob/NAME`` or ``modelservice/NAME``; pure."""

import re
from dataclasses import dataclass
from typing import Final

from fairlead_api import names
from fairlead_api.base import DNS_LABEL_PATTERN
from fairlead_cli import errors

_PLURALS: Final = {
    word: (kind, plural)
    for kind, plural, short in (
        (names.FINETUNEJOB, names.FINETUNEJOB_PLURAL, "ftj"),
        (names.MODELSERVICE, names.MODELSERVICE_PLURAL, "msvc"),
    )
    for word in (kind.lower(), plural, short)
}


@dataclass(frozen=True)
class Target:
    """One resource of ours."""

    kind: str
    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def parse(text: str, namespace: str) -> Target:
    """Read ``KIND/NAME``.

    Raises:
        WrongUsage: When the kind isn't ours or the name can't be one.
    """
    kind_word, slash, name = text.partition("/")
    if not slash or kind_word.lower() not in _PLURALS:
        raise errors.WrongUsage(f"{text!r} is not finetunejob/NAME or modelservice/NAME")
    if not re.fullmatch(DNS_LABEL_PATTERN, name):
        raise errors.WrongUsage(f"{name!r} can't be the name of a {kind_word}")
    kind, plural = _PLURALS[kind_word.lower()]
    return Target(kind, plural, namespace, name)
