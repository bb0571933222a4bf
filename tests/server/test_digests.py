"""Digests of many files: right, in order, told while they take long."""

import hashlib
import logging
import time

import pytest

from fairlead_server import digests

PATIENCE_SECONDS = 60


def test_sizes_and_digests_come_in_the_order_asked_for(tmp_path):
    contents = [b"", b"a", b"b" * 5_000_000, bytes(range(256)) * 20_000]
    paths = []
    for index, content in enumerate(contents):
        paths.append(tmp_path / str(index))
        paths[-1].write_bytes(content)
    assert [(m.size_bytes, m.digest) for m in digests.measure(paths)] == [
        (len(content), "sha256:" + hashlib.sha256(content).hexdigest()) for content in contents
    ]


def test_no_files_measure_to_nothing():
    assert digests.measure([]) == []


def test_a_file_that_goes_while_it_is_read_raises(tmp_path, monkeypatch):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"x")
    bad.write_bytes(b"x")
    measure = digests._measure

    def vanish(path, progress, slot):
        path.unlink() if path == bad else None
        return measure(path, progress, slot)

    monkeypatch.setattr(digests, "_measure", vanish)
    with pytest.raises(FileNotFoundError):
        digests.measure([good, bad])


def test_progress_is_said_while_files_are_read(tmp_path, monkeypatch, caplog):
    path = tmp_path / "big"
    path.write_bytes(bytes(64 * 1024 * 1024))
    monkeypatch.setattr(digests, "_PROGRESS_SECONDS", 0.001)
    measure = digests._measure

    def slow(path, progress, slot):
        measured, deadline = measure(path, progress, slot), time.monotonic() + PATIENCE_SECONDS
        while not caplog.text and time.monotonic() < deadline:
            time.sleep(0.001)
        return measured

    monkeypatch.setattr(digests, "_measure", slow)
    with caplog.at_level(logging.INFO):
        digests.measure([path])
    assert "of 0.1 GiB" in caplog.text
