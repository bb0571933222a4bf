"""From what a model said to each question to its scores and the report; pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fairlead_airflow import bleu, judging, scores
from fairlead_airflow.exam import Question
from fairlead_airflow.judging import Judge
from fairlead_airflow.scores import Metric

MAX_SHOWN: Final = 3


class TooManyRefused(ValueError):
    """So many questions were refused that the scores say little."""


@dataclass
class Record:
    """What came of one question."""

    question: Question
    answer: str = ""
    finish_reason: str = ""
    is_answered: bool = False
    logprobs: Sequence[float] | None = None
    """Of the expected answer's tokens; None where they were not asked for or refused."""
    grade: float | None = None
    """The judge's; None where it is unreadable, or nobody judged."""
    said: str = ""
    """What the judge said, where it is unreadable."""
    error: str = ""
    """Why the server, or the judge, refused."""

    def as_row(self, metrics: Sequence[Metric]) -> dict[str, Any]:
        """As the report shows it."""
        row: dict[str, Any] = {
            "line": self.question.line,
            **self.question.asked,
            "expected": self.question.expected,
        }
        if set(metrics) & scores.OF_ANSWERS:
            row |= {"answer": self.answer, "finish_reason": self.finish_reason}
        row["scores"] = self._scores(metrics)
        if Metric.PERPLEXITY in metrics:
            row["num_tokens"] = len(self.logprobs or ())
        return row | {key: text for key, text in self._notes() if text}

    def _scores(self, metrics: Sequence[Metric]) -> dict[str, float | None]:
        pair = (self.answer, self.question.expected)
        of_all: dict[Metric, Callable[[], float | None]] = {
            Metric.EXACT_MATCH: lambda: scores.exact_match(*pair),
            Metric.BLEU: lambda: bleu.corpus([pair]),
            Metric.PERPLEXITY: lambda: scores.perplexity(self.logprobs) if self.logprobs else None,
            Metric.JUDGE: lambda: self.grade,
        }
        return {metric.value: of_all[metric]() for metric in metrics}

    def _notes(self) -> tuple[tuple[str, str], ...]:
        return ("judge_said", self.said), ("error", self.error)


def scores_of(records: Sequence[Record], metrics: Sequence[Metric]) -> dict[str, float]:
    """The scores of an exam by name. A question without an answer is answered wrong.

    Perplexity is that of all tokens together, so a long answer weighs more than a short one.

    Raises:
        scores.NothingScored: When there is nothing that one of them could be made of.
    """
    pairs = [(each.answer, each.question.expected) for each in records]
    of_all = {
        Metric.EXACT_MATCH: lambda: scores.mean(scores.exact_match(*pair) for pair in pairs),
        Metric.BLEU: lambda: bleu.corpus(pairs),
        Metric.PERPLEXITY: lambda: scores.perplexity(
            logprob for each in records for logprob in each.logprobs or ()
        ),
        Metric.JUDGE: lambda: scores.mean(each.grade for each in records if each.grade is not None),
    }
    found = {}
    for metric in metrics:
        try:
            found[metric.value] = of_all[metric]()
        except scores.NothingScored:
            raise scores.NothingScored(
                f"{metric}: nothing to make it of in {len(records)} questions{_shown(records)}"
            ) from None
    return found


def check_refused(records: Sequence[Record], max_errors: float) -> int:
    """How many questions were refused.

    Raises:
        TooManyRefused: When it is more than that share of them.
    """
    refused = [each for each in records if each.error]
    if len(refused) > max_errors * len(records):
        raise TooManyRefused(
            f"{len(refused)} of {len(records)} questions were refused, more than"
            f" {max_errors:.0%}{_shown(records)}"
        )
    return len(refused)


def check_grades(records: Sequence[Record], judge: Judge) -> int:
    """How many of the judge's grades can't be read.

    Raises:
        judging.TooManyUnreadable: When there are too many of them.
    """
    graded = [each for each in records if each.is_answered]
    num_unreadable = sum(1 for each in graded if each.grade is None)
    judging.check_readable(judge, len(graded), num_unreadable)
    return num_unreadable


def num_cut_off(records: Sequence[Record]) -> int:
    """How many answers ended at the limit of tokens: they can hardly be right."""
    return sum(1 for each in records if each.finish_reason == "length")


def _shown(records: Sequence[Record]) -> str:
    """The first refusals, a line each."""
    refused = [each for each in records if each.error][:MAX_SHOWN]
    return "".join(f"\nquestion in line {each.question.line}: {each.error}" for each in refused)


def report(
    records: Sequence[Record],
    metrics: Sequence[Metric],
    found: Mapping[str, float],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole, to be read by people and programs; ``found`` are the exam's scores."""
    return {
        **about,
        "scores": dict(found),
        "num_questions": len(records),
        "num_errors": sum(1 for each in records if each.error),
        "num_cut_off": num_cut_off(records),
        "questions": [each.as_row(metrics) for each in records],
    }
