"""Lines come out of chunks that end anywhere, events out of lines, untouched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_chaos.faults import Told
from fairlead_chaos.history import History
from fairlead_chaos.streams import Lines, event

LINES = st.lists(st.binary().map(lambda line: line.replace(b"\n", b"") + b"\n"))


@given(lines=LINES, rest=st.binary(), cuts=st.lists(st.integers(0, 200)))
def test_lines_are_put_together_whatever_the_chunks(lines, rest, cuts):
    rest = rest.replace(b"\n", b"")
    whole = b"".join(lines) + rest
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    chunks = [whole[begin:end] for begin, end in zip(places, places[1:], strict=False)]
    splitter = Lines()
    assert [line for chunk in chunks for line in splitter.feed(chunk)] == lines
    assert splitter.rest == rest


def line(type_, name="a", version="7", **head):
    about = {"namespace": "team", "name": name, "resourceVersion": version} | head
    return json.dumps({"type": type_, "object": {"metadata": about}}).encode() + b"\n"


def test_event_is_read_and_its_line_kept():
    text = line("ADDED", "a-x7k2p", generateName="a-")
    read = event(text)
    assert (read.type, read.namespace, read.name, read.told_name, read.version, read.line) == (
        "ADDED", "team", "a-x7k2p", "a-*", "7", text,
    )  # fmt: skip


@pytest.mark.parametrize("type_", ["BOOKMARK", "ERROR"])
def test_bookmark_and_error_tell_of_no_object(type_):
    assert not event(json.dumps({"type": type_, "object": {}}).encode()).is_of_object


def test_events_are_counted_and_one_told_anew_keeps_its_number():
    history = History()

    def count(*told, **head):
        return history.count_event("pods", event(line(*told, **head)))

    assert count("ADDED", "a", "1") == Told("ADDED", "pods", "a", 1)
    assert count("MODIFIED", "a", "2") == Told("MODIFIED", "pods", "a", 1)
    assert count("MODIFIED", "a", "3") == Told("MODIFIED", "pods", "a", 2)
    assert count("MODIFIED", "a", "2") == Told("MODIFIED", "pods", "a", 1)
    assert count("ADDED", "b-x", "4", generateName="b-") == Told("ADDED", "pods", "b-*", 1)
    assert count("ADDED", "b-y", "5", generateName="b-") == Told("ADDED", "pods", "b-*", 2)
