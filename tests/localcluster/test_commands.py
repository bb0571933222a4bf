"""kubectl and helm are run again where the API server was too busy to get the request."""

import pytest

from fairlead_cluster import commands, errors

BUSY = "Unable to connect to the server: net/http: TLS handshake timeout"
OPENAPI = "error: failed to download openapi: Get x: net/http: TLS handshake timeout; if you choose"
HELM = "Error: Kubernetes cluster unreachable: Get x: net/http: TLS handshake timeout"
REFUSED = "Unable to connect to the server: dial tcp 127.0.0.1:1: connect: connection refused"
WEBHOOK = "Error from server: failed calling webhook: net/http: TLS handshake timeout"
TOLD = {"what": "apply", "way_out": "try later"}


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """A program that says so much and fails for some times, then tells its stdin; its starts."""
    monkeypatch.setattr(commands, "_PAUSE_SECONDS", 0.01)

    def made(words, num_failures):
        starts, program = tmp_path / "starts", tmp_path / "kubectl"
        program.write_text(
            f"#!/bin/sh\necho >> {starts}; [ $(wc -l < {starts}) -gt {num_failures} ] && exec cat\n"
            f"echo '{words}' >&2; exit 1\n"
        )
        program.chmod(0o755)
        return [program, "apply"], starts

    return made


BUSY_SERVER = [
    pytest.param(BUSY, commands.KUBECTL_UNSENT, id="kubectl"),
    pytest.param(OPENAPI, commands.KUBECTL_UNSENT, id="kubectl-asks-for-schemas"),
    pytest.param(HELM, commands.HELM_UNSENT, id="helm"),
]


@pytest.mark.parametrize(("words", "unsent"), BUSY_SERVER)
def test_request_that_a_busy_server_has_not_got_is_sent_again(failing, words, unsent):
    command, starts = failing(words, num_failures=5)
    assert commands.ask_server(command, stdin="whole", unsent=unsent, **TOLD) == "whole"
    assert len(starts.read_text()) == 6


def test_helm_that_got_no_schemas_may_have_written_before(failing):
    command, starts = failing(OPENAPI, num_failures=1)
    with pytest.raises(errors.CommandFailed, match="openapi"):
        commands.ask_server(command, unsent=commands.HELM_UNSENT, **TOLD)
    assert len(starts.read_text()) == 1


def test_server_that_stays_busy_is_told(failing):
    command, starts = failing(BUSY, num_failures=99)
    with pytest.raises(errors.CommandFailed, match="TLS handshake timeout"):
        commands.ask_server(command, **TOLD)
    assert len(starts.read_text()) == 6


@pytest.mark.parametrize("words", [REFUSED, WEBHOOK, 'pods "one" not found'])
def test_any_other_failure_is_told_at_once(failing, words):
    command, starts = failing(words, num_failures=1)
    with pytest.raises(errors.CommandFailed) as failed:
        commands.ask_server(command, **TOLD)
    assert words in failed.value.problem
    assert len(starts.read_text()) == 1
