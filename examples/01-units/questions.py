"""Questions and their right answers, drawn from a seed: dates (task A) and amounts (task B).

A date's answer is its ISO form, an amount's a decimal number and the unit's symbol.

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
    "the {ordinal} of {month} {year_in_words}",
    "{month} the {ordinal}, {year_in_words}",
    "{month} {nth}, {year_in_words}",
    "{day} {month} {year_in_words}",
    "{day_in_words} {month} {year}",
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

# The symbol of a unit -> what it is called.
UNITS = {
    "g": words("g gram"),
    "kg": words("kg kilo kilogram"),
    "ml": words("ml millilitre"),
    "cl": words("cl centilitre"),
    "l": words("l litre"),
    "mm": words("mm millimetre"),
    "cm": words("cm centimetre"),
    "m": words("m metre"),
    "km": words("km kilometre"),
}
WEIGHED = words("flour sugar rice butter coffee salt apples nails sand cheese")
POURED = words("milk water oil paint juice vinegar cream fuel syrup soup")
MEASURED = words("rope wire cloth pipe cable ribbon timber tape hose chain")
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


def year_in_words(year: int) -> str:
    """Say a year from 1900 to 2099: 2005 -> two thousand and five."""
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return "two thousand" + (f" and {spell(rest)}" if rest else "")
    if rest < 10:
        return f"{spell(century)} " + (f"oh {spell(rest)}" if rest else "hundred")
    return f"{spell(century)} {spell(rest)}"


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
        day_in_words=spell(day),
        year_in_words=year_in_words(year),
    )
    text = draw.choice(DATE_FRAMES).format(written)
    return Question(text, f"{year}-{month + 1:02}-{day:02}")


def _number(draw: random.Random) -> tuple[str, str]:
    """A number as written and as a decimal."""
    kind = draw.choice(("digits", "words", "decimal", "and a half"))
    if kind == "digits":
        whole = str(draw.randint(1, 999))
        return whole, whole
    number = draw.randint(1, 99)
    if kind == "words":
        return spell(number), str(number)
    if kind == "and a half":
        return f"{spell(number)} and a half", f"{number}.5"
    decimal = f"{number}.{draw.randint(1, 9)}"
    return decimal, decimal


def _thing(draw: random.Random, symbol: str) -> str:
    """Something that comes in such a unit."""
    if symbol.endswith("g"):
        return draw.choice(WEIGHED)
    return draw.choice(POURED if symbol.endswith("l") else MEASURED)


def amount_question(draw: random.Random) -> Question:
    """Draw an amount in free text; the answer is a decimal number and the unit's symbol."""
    symbol = draw.choice(sorted(UNITS))
    called = draw.choice(UNITS[symbol])
    written, number = _number(draw)
    plural = "s" if len(called) > 2 and number != "1" else ""
    text = draw.choice(AMOUNT_FRAMES).format(
        amount=f"{written} {called}{plural}", thing=_thing(draw, symbol)
    )
    return Question(text, f"{number} {symbol}")


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
