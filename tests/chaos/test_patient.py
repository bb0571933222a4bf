"""A program is run again where the API server has not got the request, and only there."""

import pytest

from fairlead_chaos import patient

HANDSHAKE = "Unable to connect to the server: net/http: TLS handshake timeout"
LONGER = "error: failed to download openapi: Get x: net/http: TLS handshake timeout; if you choose"
REFUSED = "Unable to connect to the server: dial tcp 127.0.0.1:1: connect: connection refused"
WEBHOOK = "Error from server (InternalError): failed calling webhook: dial tcp: refused"
KUBELET = "Error from server: Get https://10.0.0.1:10250/x: net/http: TLS handshake timeout"
LOST = "Unable to connect to the server: EOF"


@pytest.fixture
def failing(tmp_path):
    """A program that says so much and fails once, then tells its stdin; notes each start."""

    def made(words, verb="apply"):
        starts, program = tmp_path / "starts", tmp_path / "kubectl"
        program.write_text(
            f"#!/bin/sh\necho >> {starts}; [ $(wc -l < {starts}) -gt 1 ] && exec cat\n"
            f"echo '{words}' >&2; exit 1\n"
        )
        program.chmod(0o755)
        return [program, "--namespace=one", verb, "two"], starts

    return made


@pytest.mark.parametrize("words", [HANDSHAKE, LONGER, REFUSED])
def test_a_request_that_was_not_sent_is_sent_again(failing, words):
    command, _ = failing(words)
    done = patient.run(command, stdin="whole")
    assert (done.returncode, done.stdout) == (0, "whole")


def test_a_log_that_the_kubelet_did_not_give_is_read_again(failing):
    command, _ = failing(KUBELET, "logs")
    assert patient.run(command, stdin="whole").stdout == "whole"


@pytest.mark.parametrize(
    ("words", "verb"),
    [(LOST, "apply"), (WEBHOOK, "apply"), ('pods "one" not found', "logs"), (KUBELET, "exec")],
)
def test_any_other_failure_is_told_at_once(failing, words, verb):
    command, starts = failing(words, verb)
    done = patient.run(command)
    assert (done.returncode, done.stderr.strip()) == (1, words)
    assert starts.read_text() == "\n"


def test_a_program_gets_the_environment_that_it_is_given():
    assert patient.run(["/usr/bin/env"], env={"ONE": "1"}).stdout == "ONE=1\n"


def test_a_server_that_stays_away_is_told(failing, monkeypatch):
    monkeypatch.setattr(patient, "PATIENCE_SECONDS", 0)
    command, _ = failing(REFUSED)
    assert patient.run(command).stderr.strip() == REFUSED
