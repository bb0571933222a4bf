"""The environment is read once, and a wrong variable is named."""

import dataclasses

import pytest

from fairlead_operator.settings import Settings, SettingsError, variable

REQUIRED = {
    "FAIRLEAD_TRAINER_IMAGE": "trainer:1",
    "FAIRLEAD_SERVER_IMAGE": "server:1",
    "FAIRLEAD_NAMESPACE": "system",
}
DEFAULTS = {
    "image_pull_policy": "IfNotPresent",
    "image_pull_secrets": (),
    "lease_name": "fairlead-operator",
    "progress_url": "",
    "certificate_secret": "fairlead-operator-progress-tls",
    "domain": "fairlead.local",
    "gateway": "",
    "watch_namespaces": (),
    "resync_seconds": 600.0,
    "workers": 32,
    "serving_startup_timeout_seconds": 1800,
    "serving_progress_deadline_seconds": 2400,
    "serving_drain_seconds": 60,
    "serving_request_timeout_seconds": 3600,
    "serving_cpu_kv_cache_gib": 1,
    "serving_shared_memory": "2Gi",
    "allowed_training_arguments": (),
    "allowed_engine_arguments": (),
    "metrics_port": 8080,
    "probes_port": 8081,
    "progress_port": 8443,
    "log_level": "INFO",
}


def read(**changes):
    return Settings.from_env(REQUIRED | changes)


def test_every_default_is_pinned_here():
    settings = read(FAIRLEAD_POD_NAME="op-0")
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    given = {"trainer_image", "server_image", "namespace", "pod_name"}
    assert set(DEFAULTS) | given == {field.name for field in dataclasses.fields(Settings)}


def test_a_replica_is_named_after_its_host_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node-7")
    settings = Settings(trainer_image="t", server_image="s", namespace="n")
    assert settings.pod_name


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        pytest.param("FAIRLEAD_WORKERS", "3", 3, id="number"),
        pytest.param("FAIRLEAD_RESYNC_SECONDS", "0.5", 0.5, id="fraction"),
        pytest.param("FAIRLEAD_WATCH_NAMESPACES", "a, b,", ("a", "b"), id="list"),
        pytest.param("FAIRLEAD_DOMAIN", "  ai.example  ", "ai.example", id="blanks"),
        pytest.param("FAIRLEAD_WORKERS", "", 32, id="empty-is-absent"),
    ],
)
def test_a_variable_sets_its_field(name, text, value):
    field = name.removeprefix("FAIRLEAD_").lower()
    assert getattr(read(**{name: text}), field) == value
    assert variable(field) == name


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        pytest.param({}, "FAIRLEAD_TRAINER_IMAGE", id="nothing-set"),
        pytest.param(REQUIRED | {"FAIRLEAD_NAMESPACE": " "}, "FAIRLEAD_NAMESPACE", id="blank"),
        pytest.param(REQUIRED | {"FAIRLEAD_WORKERS": "x"}, "FAIRLEAD_WORKERS='x'", id="letters"),
        pytest.param(REQUIRED | {"FAIRLEAD_WORKERS": "0"}, "FAIRLEAD_WORKERS", id="no-worker"),
        pytest.param(
            REQUIRED | {"FAIRLEAD_SERVING_PROGRESS_DEADLINE_SECONDS": "1800"},
            "FAIRLEAD_SERVING_PROGRESS_DEADLINE_SECONDS must be above",
            id="fails-before-it-may-start",
        ),
        pytest.param(REQUIRED | {"FAIRLEAD_GATEWAY": "main"}, "NAMESPACE/NAME", id="gateway"),
        pytest.param(
            REQUIRED | {"FAIRLEAD_PROGRESS_URL": "http://x"}, "https://HOST:PORT", id="plain-http"
        ),
    ],
)
def test_a_wrong_variable_is_named(environment, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_env(environment)


def test_the_planners_get_what_the_administrator_decided():
    settings = read(
        FAIRLEAD_IMAGE_PULL_POLICY="Always",
        FAIRLEAD_IMAGE_PULL_SECRETS="pull",
        FAIRLEAD_PROGRESS_URL="https://op.system.svc:8443",
        FAIRLEAD_GATEWAY="edge/main",
        FAIRLEAD_DOMAIN="ai.example",
        FAIRLEAD_ALLOWED_TRAINING_ARGUMENTS="optim",
        FAIRLEAD_ALLOWED_ENGINE_ARGUMENTS="swap-space",
    )
    training, serving = settings.finetune("PEM"), settings.serving()
    assert (training.trainer_image, serving.image) == ("trainer:1", "server:1")
    for options in (training, serving):
        assert options.image_pull_policy == "Always"
        assert options.image_pull_secrets == ("pull",)
    assert (training.progress_url, training.progress_ca) == ("https://op.system.svc:8443", "PEM")
    assert training.extra_args_allowed == {"optim"}
    assert (serving.gateway.namespace, serving.gateway.name) == ("edge", "main")
    assert (serving.domain, serving.allowed_arguments) == ("ai.example", {"swap-space"})
    assert settings.progress_host == "op.system.svc"


def test_the_planner_of_services_gets_each_of_its_options():
    given = {
        "startup_timeout_seconds": 3000,
        "progress_deadline_seconds": 3001,
        "drain_seconds": 7,
        "request_timeout_seconds": 8,
        "cpu_kv_cache_gib": 9,
        "shared_memory": "10Gi",
    }
    told = {variable(f"serving_{name}"): str(value) for name, value in given.items()}
    options = read(**told).serving()
    assert {name: getattr(options, name) for name in given} == given


def test_without_a_gateway_there_is_none():
    assert read().serving().gateway is None
    assert read().default_gateway is None
