"""The demo as a command: one at a time, and what is said when it is broken off."""

import threading

import pytest

from fairlead_cluster import __main__
from fairlead_cluster.demo import story


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FAIRLEAD_CONTEXT", "arn:aws:eks:eu-1:1:cluster/big")


def test_broken_off_demo_says_what_goes_on(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(story, "tell", interrupted)
    assert __main__.main(["demo"]) == 130
    said = capsys.readouterr().err
    assert "goes on in the cluster" in said
    assert "fairlead wait finetunejob/units -n units" in said
    assert "trains anew" in said


def test_second_demo_waits_for_the_first(monkeypatch, capsys):
    told, may_end = threading.Event(), threading.Event()
    running = []

    def tell(*_):
        running.append(threading.get_ident())
        told.set()
        assert may_end.wait(60)
        assert running == [threading.get_ident()]
        running.clear()

    monkeypatch.setattr(story, "tell", tell)
    noted = []

    def note(line):
        noted.append(line)
        may_end.set()

    monkeypatch.setattr("fairlead_cluster.progress.note", note)
    first = threading.Thread(target=__main__.main, args=(["demo"],))
    first.start()
    assert told.wait(60)
    assert __main__.main(["demo"]) == 0  # waiting is what lets the first one end
    first.join()
    assert may_end.is_set()
    assert "Ctrl-C here" in noted[0]
