"""What kinds of text Kubernetes takes, told by reading characters: no regular expression.

Part of the judge, so nothing of the product may be imported here. Sources: Kubernetes' documents
"Object Names and IDs", "Labels and Selectors", "Quantity", and the field texts of our own kinds.
"""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_LOWER: Final = frozenset(string.ascii_lowercase + string.digits)
_ALNUM: Final = frozenset(string.ascii_letters + string.digits)
_PATH: Final = _ALNUM | {"-", "_", "."}
_DIGITS: Final = frozenset(string.digits)
_BINARY: Final = {f"{unit}i": 1024 ** (power + 1) for power, unit in enumerate("KMGTPE")}
_DECIMAL: Final = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    **{unit: Fraction(10 ** (3 * power + 3)) for power, unit in enumerate("kMGTPE")},
}
_MOST_EXPONENT: Final = 2_000
"""Beyond any amount that a test compares; an exponent above it is written but not worked out."""


@dataclass(frozen=True)
class Form:
    """A kind of text: how to tell it, and how to write one of a given length."""

    is_of: Callable[[str], bool]
    draw: Callable[[random.Random, int], str]
    """Writes one of exactly so many characters, as far as the form has one."""


def is_dns_label(text: str) -> bool:
    """Lower-case letters, digits and dashes; a letter or digit at both ends."""
    return bool(text) and set(text) <= _LOWER | {"-"} and text[0] in _LOWER and text[-1] in _LOWER


def is_dns_subdomain(text: str) -> bool:
    """DNS labels with dots between them."""
    return all(is_dns_label(part) for part in text.split("."))


def is_resource_name(text: str) -> bool:
    """Name of one of our resources: a DNS label of at most 40 characters, a letter first."""
    return is_dns_label(text) and len(text) <= 40 and text[0] in string.ascii_lowercase


def is_claim_uri(text: str) -> bool:
    """pvc://CLAIM/PATH, each part of the path visible and at most 128 characters long."""
    if not text.startswith("pvc://"):
        return False
    claim, *path = text.removeprefix("pvc://").split("/")
    return (
        is_dns_label(claim)
        and len(claim) <= 63
        and bool(path)
        and all(
            0 < len(part) <= 128 and set(part) <= _PATH and not part.startswith(".")
            for part in path
        )
    )


def is_duration(text: str) -> bool:
    """One to three counts of at most five digits, each with its unit: h, m or s."""
    count, digits = 0, 0
    for char in text:
        if char in _DIGITS:
            digits += 1
        elif char in "hms" and 0 < digits <= 5:
            count, digits = count + 1, 0
        else:
            return False
    return 0 < count <= 3 and digits == 0


def amount(value: object) -> Fraction | None:
    """What a quantity amounts to; None where it is none, or a negative one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value) if 0 <= value < 2**63 else None
    if not isinstance(value, str) or not 0 < len(value) <= 32:
        return None
    for letter in ("e", "E"):
        head, found, exponent = value.partition(letter)
        digits = exponent[1:] if exponent[:1] in ("+", "-") else exponent
        if found and digits and set(digits) <= _DIGITS:
            return _scaled(_number(head), int(digits), is_below_one=exponent[0] == "-")
    number = value.rstrip(string.ascii_letters)
    return _with_suffix(number, value[len(number) :])


def _with_suffix(digits: str, suffix: str) -> Fraction | None:
    found = _number(digits)
    if found is None or suffix and suffix not in _BINARY and suffix not in _DECIMAL:
        return None
    return found * Fraction(_BINARY.get(suffix) or _DECIMAL.get(suffix) or 1)


def _scaled(number: Fraction | None, power: int, *, is_below_one: bool) -> Fraction | None:
    if number is None:
        return None
    scale = Fraction(10) ** min(power, _MOST_EXPONENT)
    return number / scale if is_below_one else number * scale


def _number(text: str) -> Fraction | None:
    """Digits with at most one dot, which needs a digit on one side at least."""
    whole, _, part = text.partition(".")
    if not set(whole + part) <= _DIGITS or not whole + part:
        return None
    return Fraction(int(whole + part or "0"), 10 ** len(part))


def is_label_value(text: str) -> bool:
    """Empty, or at most 63 of letters, digits and -_. with a letter or digit at both ends."""
    return not text or (
        len(text) <= 63 and set(text) <= _PATH and text[0] in _ALNUM and text[-1] in _ALNUM
    )


def is_qualified_name(text: str) -> bool:
    """A key of a label: a name as a label's value, perhaps with a DNS subdomain before a slash."""
    prefix, slash, name = text.rpartition("/")
    is_prefixed = not slash or (len(prefix) <= 253 and is_dns_subdomain(prefix))
    return is_prefixed and bool(name) and is_label_value(name)


def is_device(text: str) -> bool:
    """A resource with its vendor's domain, such as nvidia.com/gpu; no name of a quota."""
    is_named = "/" in text and len(text) <= 253 and is_qualified_name(text)
    return is_named and not text.startswith("requests.")


def is_container_resource(text: str) -> bool:
    """What a container may ask for by name."""
    return text in ("cpu", "memory", "ephemeral-storage") or is_device(text)


def is_count(value: object) -> bool:
    """A whole number of at most 18 digits."""
    text = str(value)
    return len(text) <= 18 and set(text) <= _DIGITS


def _label(rng: random.Random, length: int) -> str:
    ends = rng.choices(sorted(_LOWER), k=2)
    middle = rng.choices([*sorted(_LOWER), "-"], k=max(0, length - 2))
    return "".join([ends[0], *middle, ends[1]])[-max(1, length) :]


def _subdomain(rng: random.Random, length: int) -> str:
    text = list(_label(rng, length))
    for place in range(8, length - 1, 9):  # dots that have a letter on both sides
        text[place - 1 : place + 2] = "a.b"
    return "".join(text)


def _uri(rng: random.Random, length: int) -> str:
    head = f"pvc://{_label(rng, rng.randint(1, 20))}"
    left = max(2, length - len(head))
    parts = [f"/{'p' * 99}"] * (left // 102)
    rest = left - 100 * len(parts)
    return head + "".join(parts) + f"/{'q' * (rest - 1)}"


def _duration(rng: random.Random, length: int) -> str:
    parts = max(1, min(3, length // 2))
    sizes = [2] * parts
    while sum(sizes) < min(length, 6 * parts):
        sizes[sizes.index(min(sizes))] += 1
    return "".join(
        "".join(rng.choices(string.digits, k=size - 1)) + rng.choice("hms") for size in sizes
    )


def _any(rng: random.Random, length: int) -> str:
    return "".join(rng.choices('abc XYZ09-_.:/{}"é中\n', k=min(length, 64))).ljust(length, "x")


ANY: Final = Form(lambda _: True, _any)
DNS_LABEL: Final = Form(is_dns_label, _label)
DNS_SUBDOMAIN: Final = Form(is_dns_subdomain, _subdomain)
CLAIM_URI: Final = Form(is_claim_uri, _uri)
DURATION: Final = Form(is_duration, _duration)
