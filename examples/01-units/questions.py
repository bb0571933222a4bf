"""Questions and their right answers, drawn from a seed: dates (task A) and amounts (task B).

Standard library only and no input or output, so that the Job that makes the data, the demo that
asks the questions and the tests share one text. The same task, seed and count always give the
same questions.
"""

import random
import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


MONTHS = words(
    "January February March April May June July August September October November December"
)
DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
ONES = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
TENS = words("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
ORDINALS |= {"nine": "ninth", "twelve": "twelfth"}

DATE_FORMS = (
    "{day} {month} {year}",
    "{month} {day}, {year}",
    "the {nth} of {month} {year}",
    "{month} {nth} {year}",
    "{short} {day} {year}",
    "{day}-{short}-{year}",
    "the {ordinal} of {month} {year}",
    "{month} the {ordinal}, {year}",
)
DATE_FRAMES = (
    "{}",
    "{}?",
    "on {}",
    "born on {}",
    "due by {}",
    "When is {}?",
    "It happened on {}.",
    "Write {} as a date.",
)

# What a unit is called -> how many of the canonical unit it holds.
UNITS = {
    "g": {"g": 1, "gram": 1, "kg": 1000, "kilo": 1000, "kilogram": 1000},
    "ml": {"ml": 1, "millilitre": 1, "cl": 10, "centilitre": 10, "l": 1000, "litre": 1000},
    "mm": {"mm": 1, "millimetre": 1, "cm": 10, "centimetre": 10, "m": 1000, "metre": 1000},
}
THINGS = {
    "g": words("flour sugar rice butter coffee salt apples nails sand cheese"),
    "ml": words("milk water oil paint juice vinegar cream fuel syrup soup"),
    "mm": words("rope wire cloth pipe cable ribbon timber tape hose chain"),
}
AMOUNT_FRAMES = (
    "{amount}",
    "{amount}?",
    "{amount} of {thing}",
    "about {amount}",
    "How much is {amount}?",
    "We need {amount} of {thing}.",
    "Add {amount} of {thing}",
    "Order {amount} of {thing} please.",
    "There are {amount} left",
)


class Question(NamedTuple):
    """One question with the only answer that counts as right."""

    text: str
    answer: str


def spell(number: int) -> str:
    """Say a whole number below a hundred in words: 42 -> forty-two."""
    if number < 20:
        return ONES[number]
    return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")


def ordinal(number: int) -> str:
    """Say a whole number below a hundred as a rank: 21 -> twenty-first."""
    head, dash, last = spell(number).rpartition("-")
    rank = ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return head + dash + rank


def _nth(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number < 14 else suffix}"


def date_question(draw: random.Random) -> Question:
    """Draw a date in free text; the answer is its ISO form."""
    month = draw.randrange(12)
    day, year = draw.randint(1, DAYS_IN_MONTH[month]), draw.randint(1900, 2099)
    written = draw.choice(DATE_FORMS).format(
        day=day,
        month=MONTHS[month],
        short=MONTHS[month][:3],
        year=year,
        nth=_nth(day),
        ordinal=ordinal(day),
    )
    text = draw.choice(DATE_FRAMES).format(written)
    return Question(text, f"{year}-{month + 1:02}-{day:02}")


def _quantity(draw: random.Random, factor: int) -> tuple[str, int]:
    """A number as written and how many canonical units it makes."""
    kind = draw.choice(["digits", "words"] + ["decimal", "and a half"] * (factor > 1))
    if kind == "digits":
        whole = draw.randint(1, 999)
        return str(whole), whole * factor
    whole = draw.randint(1, 99)
    if kind == "words":
        return spell(whole), whole * factor
    if kind == "and a half":
        return f"{spell(whole)} and a half", whole * factor + factor // 2
    tenths = draw.randint(1, 9)
    return f"{whole}.{tenths}", whole * factor + tenths * factor // 10


def amount_question(draw: random.Random) -> Question:
    """Draw an amount in free text; the answer is in grams, millilitres or millimetres."""
    canonical = draw.choice(sorted(UNITS))
    unit = draw.choice(sorted(UNITS[canonical]))
    written, total = _quantity(draw, UNITS[canonical][unit])
    plural = "s" if len(unit) > 2 and written not in ("1", "one") else ""
    text = draw.choice(AMOUNT_FRAMES).format(
        amount=f"{written} {unit}{plural}", thing=draw.choice(THINGS[canonical])
    )
    return Question(text, f"{total} {canonical}")


TASKS: dict[str, Callable[[random.Random], Question]] = {
    "dates": date_question,
    "amounts": amount_question,
}


def normalise(text: str) -> str:
    """The form in which two questions count as the same: no case, punctuation or spacing."""
    return " ".join(re.findall(r"[a-z]+|\d+(?:\.\d+)?", text.casefold()))


def drawn(task: str, seed: int, seen: Collection[str] = ()) -> Iterator[Question]:
    """Draw questions without end, none of them (normalised) twice or in `seen`."""
    draw, taken = random.Random(f"{task}/{seed}"), set(seen)
    while True:
        question = TASKS[task](draw)
        if (key := normalise(question.text)) not in taken:
            taken.add(key)
            yield question
