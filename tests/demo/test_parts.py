"""The clock of the demo."""

import pytest

from fairlead_cluster.demo.parts import Parts


def test_each_part_is_announced_and_timed(capsys):
    parts = Parts(total=2)
    with parts.part("a cluster", 20, 1500):
        print("inside")
    with parts.part("the rest", 90):
        pass
    lines = capsys.readouterr().out.split("\n")
    assert "[1 of 2] a cluster (usually 20.0 s, the first time 25 min 00 s)" in lines
    assert "[2 of 2] the rest (usually 1 min 30 s)" in lines
    assert list(parts.seconds) == ["a cluster", "the rest"]


def test_part_that_fails_counts_no_time():
    parts = Parts(total=1)
    with pytest.raises(KeyError), parts.part("a", 1):
        raise KeyError
    assert parts.seconds == {}
