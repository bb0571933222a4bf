"""The way of a start, in processes of its own: exit codes, termination messages, the exec."""

import json
import os
import signal
import subprocess
import sys

import pytest

from fairlead_api import names
from fairlead_api.termination import EXIT_CODES, Cause, read

CODE = """
import sys
from pathlib import Path
from fairlead_server.__main__ import main
sys.exit(main(sys.argv[3:], claims=Path(sys.argv[1]), termination_log=Path(sys.argv[2])))
"""
# Stands where vLLM would: shows what it was started with, under which process id.
ENTRY = """
import json, os, sys
print(json.dumps({"pid": os.getpid(), "argv": sys.argv[1:], "plugins": os.environ["VLLM_PLUGINS"]}))
"""


@pytest.fixture
def run(tmp_path, mount):
    """Run the server's start to its end; returns exit code, termination message, output, pid."""
    site = tmp_path / "site"
    package = site / "vllm" / "entrypoints" / "launchers" / "api_server"
    package.mkdir(parents=True)
    (package / "entry.py").write_text(ENTRY)
    log = tmp_path / "termination-log"
    log.touch()

    def start(serve, *argv):
        environment = {**os.environ, "PYTHONPATH": str(site)}
        if serve is not None:
            environment[names.ENV_SERVE_FILE] = json.dumps(serve)
        with subprocess.Popen(
            [sys.executable, "-c", CODE, str(mount.parent), str(log), *argv],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, read(log.read_text()), out, err, process.pid

    return start


SERVE = {"modelUri": "pvc://models/tiny", "servedModelName": "tiny", "drainSeconds": 9}


def test_a_sound_model_becomes_vllm_under_the_same_process_id(run, model):
    code, termination, out, err, pid = run(SERVE)
    assert (code, termination) == (0, None)
    started = json.loads(out)
    assert started["pid"] == pid
    assert f"--model={model}" in started["argv"]
    assert "--shutdown-timeout=9" in started["argv"]
    assert started["plugins"] == "fairlead"
    assert "4 files" in err


@pytest.mark.parametrize(
    ("change", "cause", "said"),
    [
        pytest.param(
            {"modelUri": "pvc://models/absent"},
            Cause.MODEL_ERROR,
            "not a folder of the claim",
            id="no such path",
        ),
        pytest.param(
            {"modelUri": "/etc"}, Cause.USER_ERROR, "spec.model.uri: '/etc'", id="no such uri"
        ),
        pytest.param(
            {"modelUri": "pvc://models/../../etc"}, Cause.USER_ERROR, "spec.model.uri", id="climb"
        ),
        pytest.param(
            {"artifactDigest": "sha256:" + "a" * 64},
            Cause.ARTIFACT_REFUSED,
            "artifact.json is missing",
            id="no record",
        ),
        pytest.param(
            {"engineArgs": {"trust-remote-code": ""}},
            Cause.USER_ERROR,
            "'trust-remote-code'",
            id="argument",
        ),
    ],
)
def test_a_refusal_is_told_by_exit_code_message_and_log(run, model, change, cause, said):
    code, termination, out, err, _ = run(SERVE | change)
    assert (code, out) == (EXIT_CODES[cause], "")
    assert termination is not None
    assert (termination.cause, termination.stage) == (cause, "Serve")
    assert said in termination.message
    assert said in err


def test_a_pickle_file_is_refused_before_vllm_starts(run, model):
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04")
    code, termination, out, _, _ = run(SERVE)
    assert (code, out) == (EXIT_CODES[Cause.ARTIFACT_REFUSED], "")
    assert termination is not None
    assert termination.message.startswith("pytorch_model.bin is a pickle file")


# Digests of a model of many gigabytes, on slow storage.
SLOW = """
import time
from fairlead_server import digests
digests._measure = lambda *_: time.sleep(600)
"""


def test_a_start_that_is_told_to_end_while_it_checks_digests_ends_at_once(model, record, mount):
    record(model)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW + CODE, str(mount.parent), str(mount / "no-log")],
        env={**os.environ, names.ENV_SERVE_FILE: json.dumps(SERVE)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any("checking digests" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert "told to end" in process.stderr.read()


def test_without_a_serve_file_it_says_who_should_have_written_one(run):
    code, termination, _, _, _ = run(None)
    assert code == EXIT_CODES[Cause.USER_ERROR]
    assert termination is not None
    assert names.ENV_SERVE_FILE in termination.message


def test_an_unknown_verb_is_refused(run):
    code, _, _, err, _ = run(SERVE, "serve")
    assert code == EXIT_CODES[Cause.USER_ERROR]
    assert "only `drain` is known" in err


def test_the_drain_verb_drains_with_the_serve_file_of_the_pod(monkeypatch, tmp_path):
    from fairlead_server import __main__ as entry

    drained = []
    monkeypatch.setattr(entry.drain, "run", lambda serve: drained.append(serve.drain_seconds) or 3)
    monkeypatch.setattr(
        entry.settings, "read", lambda: entry.settings.ServeFile.model_validate(SERVE)
    )
    assert entry.main(["drain"], termination_log=tmp_path / "log") == 3
    assert drained == [9]


def test_a_long_message_is_cut_and_stays_readable(tmp_path):
    from fairlead_server.refusal import StartRefused, report

    log = tmp_path / "log"
    log.touch()
    report(StartRefused(Cause.MODEL_ERROR, "é" * 5000), log)
    termination = read(log.read_text())
    assert termination is not None
    assert termination.message.startswith("é" * 200)


def test_outside_a_pod_no_termination_file_is_made(tmp_path):
    from fairlead_server.refusal import StartRefused, report

    report(StartRefused(Cause.MODEL_ERROR, "x"), tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
