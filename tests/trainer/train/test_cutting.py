"""What a length limit leaves of rows, told before a run that could learn nothing."""

import pytest

from fairlead_trainer.train import cutting
from fairlead_trainer.train.cutting import IGNORED, Cut

SHORT = [IGNORED, 1]
LONG = [IGNORED, IGNORED, IGNORED, 1, 2]
PROMPT_ONLY = [IGNORED, IGNORED]


@pytest.mark.parametrize(
    ("rows", "cut"),
    [
        pytest.param([SHORT], Cut(num_rows=1, longest=2), id="fits"),
        pytest.param([[1, 2, 3]], Cut(num_rows=1, longest=3), id="fits-exactly"),
        pytest.param([[1, 2, 3, 4]], Cut(1, num_cut=1, longest=4), id="cut"),
        pytest.param([LONG], Cut(1, num_cut=1, num_mute=1, longest=5), id="cut-to-its-prompt"),
        pytest.param([PROMPT_ONLY], Cut(1, num_mute=1, longest=2), id="nothing-from-the-start"),
        pytest.param([SHORT, LONG], Cut(2, num_cut=1, num_mute=1, longest=5), id="both"),
    ],
)
def test_rows_are_counted(rows, cut):
    assert cutting.measure(rows, slice(3)) == cut


@pytest.mark.parametrize(
    ("mode", "strategy", "left"),
    [
        pytest.param("keep_start", None, [1, 2], id="start"),
        pytest.param("keep_end", None, [3, 4], id="end"),
        pytest.param("keep_end", "bfd", [1, 2], id="packing-cuts-the-end-off"),
        pytest.param("keep_start", "bfd_split", [1, 2, 3, 4], id="packing-splits"),
        pytest.param("keep_start", "wrapped", [1, 2, 3, 4], id="packing-wraps"),
    ],
)
def test_what_upstream_keeps_of_a_row(mode, strategy, left):
    assert [1, 2, 3, 4][cutting.kept(2, mode, strategy)] == left


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param([SHORT, LONG], "", id="one-teaches"),
        pytest.param([LONG, LONG], "nothing is left to learn from: 2 of 2 rows", id="none"),
    ],
)
def test_rows_that_teach_nothing_are_a_problem(rows, told):
    problem = cutting.measure(rows, slice(3)).problem
    assert problem.startswith(told)
    assert bool(problem) is bool(told)
    assert not problem or "the longest has 5 tokens" in problem
