"""vLLM's command line: ours is always there, nobody's replaces it, no value is an option."""

import sys
from pathlib import Path

import pytest

from fairlead_api import names
from fairlead_api.modelservice import Limits
from fairlead_api.servefile import ServeFile
from fairlead_api.termination import Cause
from fairlead_server import arguments
from fairlead_server.refusal import StartRefused

FOLDER = Path("/mnt/claims/models/tiny")


def serve(**changes):
    return ServeFile(
        **{"model_uri": "pvc://models/tiny", "served_model_name": "tiny", "drain_seconds": 45}
        | changes
    )


def command(**changes):
    return arguments.command(serve(**changes), FOLDER)


def test_it_becomes_vllm_in_the_same_interpreter_without_the_working_directory():
    assert command()[:4] == [sys.executable, "-P", "-m", arguments.ENTRY]


@pytest.mark.parametrize(
    "option",
    [
        f"--model={FOLDER}",
        "--host=0.0.0.0",
        f"--port={names.PORT_SERVE}",
        "--middleware=fairlead_server.middleware.Gate",
        "--shutdown-timeout=45",
        "--max-num-queued-reqs=7",
        "--load-format=safetensors",
        "--disable-fastapi-docs",
        "--allowed-media-domains=media-urls-are-not-fetched.invalid",
    ],
)
def test_what_is_always_given(option):
    assert option in command(limits=Limits(max_queued_requests=7))


def test_the_middleware_is_where_the_option_says():
    module, _, name = arguments.MIDDLEWARE.rpartition(".")
    assert hasattr(__import__(module, fromlist=[name]), name)


def test_engine_arguments_are_one_word_each():
    given = command(engine_args={"max-model-len": "2048", "seed": "--port=1", "enforce-eager": ""})
    assert "--max-model-len=2048" in given
    assert "--seed=--port=1" in given
    assert "--enforce-eager" in given


def test_a_load_format_of_the_users_own_wins():
    options = [o for o in command(engine_args={"load-format": "dummy"}) if "load-format" in o]
    assert options == ["--load-format=dummy"]


@pytest.mark.parametrize(
    ("aliases", "served"),
    [((), ["tiny"]), (("svc",), ["tiny", "svc"]), (("tiny", "svc"), ["tiny", "svc"])],
    ids=["name", "and alias", "alias equals name"],
)
def test_all_names_are_served_the_first_one_named_in_answers(aliases, served):
    given = command(aliases=aliases)
    assert given[given.index("--served-model-name") + 1 :] == served


@pytest.mark.parametrize(
    "key",
    [
        "trust-remote-code", "trust-remote", "host", "port", "model", "middleware", "middle",
        "served-model-name", "shutdown-timeout", "disable-log-stats", "uds", "config", "grpc",
        "api-server-count", "worker-cls", "tool-parser-plugin", "allowed-local-media-path",
        "allowed-media-domains",
    ],
)  # fmt: skip
def test_reserved_arguments_and_their_abbreviations_are_refused(key):
    with pytest.raises(StartRefused, match=f"'{key}'") as caught:
        command(engine_args={key: "x"})
    assert caught.value.cause is Cause.USER_ERROR
    assert "spec.engine.extraArgs" in caught.value.message


@pytest.mark.parametrize(
    "key", ["", "-seed", "--seed", "a.b", "max_model_len", "Seed", "seed=1", "a b", "a--b", "é"]
)
def test_arguments_that_are_not_spelt_plainly_are_refused(key):
    with pytest.raises(StartRefused, match="is not spelt as vLLM does"):
        command(engine_args={key: "1"})


@pytest.mark.parametrize("key", ["max-model-len", "tensor-parallel-size", "model-impl", "seed"])
def test_other_arguments_pass(key):
    assert f"--{key}=1" in command(engine_args={key: "1"})


@pytest.mark.parametrize(
    "changes", [{"served_model_name": "--port"}, {"aliases": ("-x",)}], ids=["name", "alias"]
)
def test_names_that_look_like_options_are_refused(changes):
    with pytest.raises(StartRefused, match="begins with a dash"):
        command(**changes)


def test_the_environment_is_kept_and_closed():
    given = arguments.environment({"HOME": "/tmp/home", "VLLM_SERVER_DEV_MODE": "1"})
    assert given["HOME"] == "/tmp/home"
    assert given["HF_HUB_OFFLINE"] == "1"
    assert given["VLLM_SERVER_DEV_MODE"] == "0"
    assert given["VLLM_PLUGINS"] == arguments.PLUGIN


def test_our_plugin_is_an_entry_point_of_the_distribution():
    from importlib.metadata import entry_points

    (found,) = entry_points(group="vllm.stat_logger_plugins", name=arguments.PLUGIN)
    assert found.value == "fairlead_server.heartbeat:Heartbeat"
