"""No line of an audit log is lost or read twice, and what can't be read is told."""

import contextlib

import pytest

from fairlead_chaos.audit import AuditLog, LostError


@pytest.fixture
def log(tmp_path):
    """The file that is written to, with something of earlier times in it."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"earlier\nalso earlier\n")
    (tmp_path / "audit-2026-01-01T00-00-00.000.log").write_bytes(b"long ago\n")
    return path


@pytest.fixture
def opened(log):
    with contextlib.closing(AuditLog(log)) as found:
        yield found


def append(path, text):
    with path.open("ab") as file:
        file.write(text)


def put_aside(path, hour):
    path.rename(path.with_name(f"audit-2026-01-02T{hour:02}-00-00.000.log"))


def test_only_what_comes_is_read_and_once(log, opened):
    assert list(opened.lines()) == []
    append(log, b"one\ntwo\n")
    assert list(opened.lines()) == [b"one\n", b"two\n"]
    append(log, b"three\n")
    assert list(opened.lines()) == [b"three\n"]


def test_line_that_is_being_written_is_read_when_it_is_whole(log, opened):
    append(log, b"one\nha")
    assert list(opened.lines()) == [b"one\n"]
    append(log, b"lf\n")
    assert list(opened.lines()) == [b"half\n"]


def test_line_that_was_begun_before_is_read_whole(log):
    append(log, b"ha")
    with contextlib.closing(AuditLog(log)) as found:
        append(log, b"lf\none\n")
        assert list(found.lines()) == [b"half\n", b"one\n"]


def test_files_that_were_put_aside_are_read_to_their_ends_in_order(log, opened):
    append(log, b"one\n")
    for hour, text in enumerate((b"two\n", b"three\n")):
        put_aside(log, hour)
        append(log, text)
    assert list(opened.lines()) == [b"one\n", b"two\n", b"three\n"]
    append(log, b"four\n")
    assert list(opened.lines()) == [b"four\n"]


def test_new_file_without_a_line_is_waited_for(log, opened):
    append(log, b"one\n")
    put_aside(log, 0)
    assert list(opened.lines()) == [b"one\n"]
    append(log, b"two\n")
    assert list(opened.lines()) == [b"two\n"]


def test_file_that_is_removed_before_it_was_read_is_told_once(log, opened):
    append(log, b"one\n")
    put_aside(log, 0)
    append(log, b"two\n")
    put_aside(log, 1)
    append(log, b"three\n")
    for name in sorted(log.parent.iterdir())[:2]:
        name.unlink()
    with pytest.raises(LostError, match="not seen"):
        list(opened.lines())
    assert list(opened.lines()) == [b"two\n", b"three\n"]
