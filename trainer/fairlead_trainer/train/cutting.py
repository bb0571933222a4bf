"""What prepare.maxLength leaves of the tokenised rows: how many are cut, how many teach nothing.

Pure. TRL cuts without a word, and a row whose prompt alone fills the length has no token left to
learn from; a run over such rows only would end well without having learnt anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

IGNORED: Final = -100
"""The label of a token that isn't learnt from."""


@dataclass(frozen=True)
class Cut:
    """What a length limit does to rows."""

    num_rows: int = 0
    num_cut: int = 0
    num_mute: int = 0
    """Rows without a token to learn from, once cut."""
    longest: int = 0

    def __str__(self) -> str:
        return (
            f"{self.num_cut} of {self.num_rows} rows are longer than prepare.maxLength and cut,"
            f" {self.num_mute} have no token to learn from; the longest has {self.longest} tokens"
        )

    @property
    def problem(self) -> str:
        """What to tell where no row teaches anything; empty where one does."""
        if self.num_mute < self.num_rows:
            return ""
        return (
            f"nothing is left to learn from: {self}. Raise prepare.maxLength above the length of"
            " the prompts, or shorten them"
        )


def kept(max_length: int, truncation_mode: str, packing_strategy: str | None) -> slice:
    """The part of a row that upstream keeps; ``packing_strategy`` is None where rows stay apart."""
    if packing_strategy is not None:
        return slice(max_length) if packing_strategy == "bfd" else slice(None)  # others split
    return slice(-max_length, None) if truncation_mode == "keep_end" else slice(max_length)


def measure(rows: Iterable[Sequence[int]], keep: slice) -> Cut:
    """Count over the labels of all rows."""
    num_rows = num_cut = num_mute = longest = 0
    for labels in rows:
        left = labels[keep]
        num_rows += 1
        num_cut += len(left) < len(labels)
        num_mute += all(label == IGNORED for label in left)
        longest = max(longest, len(labels))
    return Cut(num_rows, num_cut, num_mute, longest)
