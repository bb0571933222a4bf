"""Which file is a new dataset, and whether it is whole; then files of a real folder."""

import os
from datetime import UTC, datetime

import pytest

from fairlead_airflow import listing, storage
from fairlead_airflow.fields import InvalidField
from fairlead_api import outcome

OLD = listing.Entry("/data/old.jsonl", 10, "2026-01-01T00:00:00+00:00", "")
NEW = listing.Entry("/data/new.jsonl", 20, "2026-01-02T00:00:00+00:00", "")
UNDATED = listing.Entry("s3://data/rows.jsonl", 5, "", "abc")


def found(lookout, *looks):
    """The file after so many looks."""
    for entries in looks:
        seen, entry = lookout.judge(entries)
        assert isinstance(seen, outcome.Succeeded) == (entry is not None)
    return entry


def test_file_is_taken_when_two_looks_find_it_the_same():
    lookout = listing.Lookout()
    assert found(lookout, [NEW]) is None
    assert found(lookout, [NEW]) == NEW


@pytest.mark.parametrize(
    "before",
    [
        listing.Entry(NEW.uri, 19, NEW.mtime, ""),
        listing.Entry(NEW.uri, 20, OLD.mtime, ""),
        listing.Entry(NEW.uri, 20, NEW.mtime, "other"),
        OLD,
    ],
    ids=["grew", "touched", "written anew", "another"],
)
def test_file_that_changed_between_two_looks_is_not_whole(before):
    assert found(listing.Lookout(), [before], [NEW]) is None
    assert found(listing.Lookout(), [before], [NEW], [NEW]) == NEW


def test_file_that_went_away_between_begins_anew():
    assert found(listing.Lookout(), [NEW], [], [NEW]) is None


def test_newest_of_several_counts():
    assert found(listing.Lookout(), [NEW, OLD], [OLD, NEW]) == NEW


@pytest.mark.parametrize(
    ("lookout", "entries", "expected"),
    [
        (listing.Lookout([NEW.identity]), [OLD, NEW], OLD),
        (listing.Lookout([NEW.identity, OLD.identity]), [OLD, NEW], None),
        (listing.Lookout(since=datetime(2026, 1, 2, tzinfo=UTC)), [OLD, NEW], NEW),
        (listing.Lookout(since=datetime(2026, 1, 3, tzinfo=UTC)), [OLD, NEW], None),
        (listing.Lookout(since=datetime(2026, 1, 3, tzinfo=UTC)), [UNDATED], UNDATED),
        (listing.Lookout(), [listing.Entry("/data/a", 0, NEW.mtime, "")], None),
    ],
    ids=["seen", "all seen", "since", "older", "of unknown age", "empty"],
)
def test_what_is_not_new_is_left(lookout, entries, expected):
    assert found(lookout, entries, entries) == expected


def test_same_name_written_anew_is_new():
    again = listing.Entry(OLD.uri, OLD.size, NEW.mtime, "")
    assert found(listing.Lookout([OLD.identity]), [again], [again]) == again


@pytest.mark.parametrize(
    ("told", "mtime", "etag"),
    [
        ({"mtime": 1767225600.0, "created": 5}, "2026-01-01T00:00:00+00:00", ""),
        (
            {"LastModified": datetime(2026, 1, 1, tzinfo=UTC), "ETag": '"ab"'},
            "2026-01-01T00:00:00+00:00",
            "ab",
        ),
        (
            {"updated": "2026-01-01T01:00:00+01:00", "md5Hash": "x=", "size": "7"},
            "2026-01-01T00:00:00+00:00",
            "x=",
        ),
        ({"last_modified": datetime(2026, 1, 1)}, "2026-01-01T00:00:00+00:00", ""),
        ({"mtime": "long ago"}, "", ""),
        ({}, "", ""),
    ],
    ids=["local", "s3", "gcs", "naive", "no moment", "nothing"],
)
def test_every_storage_tells_it_in_its_own_words(told, mtime, etag):
    entry = listing.entry("x", {"size": 7} | told)
    assert (entry.size, entry.mtime, entry.etag) == (7, mtime, etag)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, []),
        ("", []),
        ("None", []),
        ("abc1", ["abc1"]),
        (["a", "b", None], ["a", "b"]),
        (NEW.result(), [NEW.identity]),
        ([NEW.result(), "a"], [NEW.identity, "a"]),
    ],
    ids=["none", "empty", "none as text", "one", "several", "result", "results"],
)
def test_seen_is_what_a_run_hands_on(given, seen):
    assert listing.parse_seen(given) == seen


@pytest.mark.parametrize("given", ["{'identity': 'a'}", 7, {"uri": "x"}], ids=repr)
def test_seen_that_cannot_be_meant_is_named(given):
    with pytest.raises(InvalidField, match="^seen: must be the identity"):
        listing.parse_seen(given)


def test_since_is_a_moment():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    given = ("2026-01-01", "2026-01-01T01:00:00+01:00", moment, datetime(2026, 1, 1))
    assert [listing.parse_since(one) for one in given] == [moment] * 4
    assert [listing.parse_since(one) for one in (None, "", "None")] == [None] * 3
    with pytest.raises(InvalidField, match="^since: must be a moment in ISO 8601, it is 'soon'$"):
        listing.parse_since("soon")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below.jsonl").mkdir()
    (tmp_path / "b.jsonl").write_text("rows")
    (tmp_path / "a.jsonl").write_text("more rows")
    (tmp_path / "c.csv").write_text("x")
    os.utime(tmp_path / "a.jsonl", (1767225600, 1767225600))
    return tmp_path


@pytest.mark.parametrize("conn_id", [None, "", "None"], ids=repr)
def test_files_of_a_folder_are_listed_by_pattern(folder, conn_id):
    first, second = storage.entries(f"{folder}/*.jsonl", conn_id)
    assert (first.uri, first.size) == (f"{folder}/a.jsonl", 9)
    assert first.mtime == "2026-01-01T00:00:00+00:00"
    assert second.uri == f"{folder}/b.jsonl"


@pytest.mark.parametrize("pattern", ["none.jsonl", "nowhere/*.jsonl"], ids=["file", "folder"])
def test_nothing_there_is_an_empty_list(folder, pattern):
    assert storage.entries(f"{folder}/{pattern}") == []


def test_address_is_listed_as_addresses(folder):
    (only,) = storage.entries(f"file://{folder}/b.jsonl")
    assert (only.uri, only.size) == (f"file://{folder}/b.jsonl", 4)


def test_file_that_grows_is_seen_to_grow(folder):
    (before,) = storage.entries(f"{folder}/b.jsonl")
    (folder / "b.jsonl").write_text("rows and rows")
    (after,) = storage.entries(f"{folder}/b.jsonl")
    assert before.identity != after.identity


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("rows.jsonl", "^uri: must be an address or the whole path"),
        ("s4://rows", "^uri: s4://rows: .*s4.*; install the provider of it$"),
        ("s3://rows", "^uri: s3://rows: No filesystem registered .*; install the provider of it$"),
    ],
    ids=["relative", "unknown", "without its provider"],
)
def test_uri_that_cannot_be_meant_is_named(uri, message):
    with pytest.raises(InvalidField, match=message):
        storage.entries(uri)
