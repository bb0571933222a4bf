"""Which cluster is meant, and what is said of one that is the user's own."""

import dataclasses

import pytest

from fairlead_cluster import errors, foreign, kind, providers, settings, up

BASE = settings.load({"HOME": "/nowhere"})


@pytest.fixture
def with_programs(tmp_path, monkeypatch):
    """A PATH with exactly these programs, which say yes to everything."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/no/where")

    return make


@pytest.mark.parametrize(
    ("environment", "programs", "chosen"),
    [
        pytest.param({}, [], providers.EMBEDDED, id="nothing-here"),
        pytest.param({}, ["docker"], providers.EMBEDDED, id="docker-without-kind"),
        pytest.param({}, ["kind"], providers.EMBEDDED, id="kind-without-docker"),
        pytest.param({}, ["kind", "docker"], providers.KIND, id="kind-and-docker"),
        pytest.param(
            {"FAIRLEAD_PROVIDER": "embedded"}, ["kind", "docker"], "embedded", id="said-embedded"
        ),
        pytest.param(
            {"FAIRLEAD_CONTEXT": "gke"}, ["kind", "docker"], providers.CONTEXT, id="context-wins"
        ),
    ],
)
def test_choice(with_programs, environment, programs, chosen):
    with_programs("sh", *programs)
    assert providers.choose(settings.load({"HOME": "/nowhere", **environment})) == chosen


@pytest.mark.parametrize(
    ("provider", "words"), [("minikube", "no provider 'minikube'"), ("kind", "kind can't be used")]
)
def test_a_provider_that_can_not_be_is_refused(with_programs, provider, words):
    with_programs()
    with pytest.raises(errors.ClusterError, match=words) as refused:
        providers.choose(dataclasses.replace(BASE, provider=provider))
    assert "unset" in refused.value.way_out


def test_kind_is_made_with_a_kubeconfig_of_its_own(tmp_path, monkeypatch):
    """Only the spelling of the commands: kind itself can't run here."""
    calls = tmp_path / "calls"
    (tmp_path / "kind").write_text(f'#!/bin/sh\necho "$@" >>{calls}\n')
    (tmp_path / "kind").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    chosen = kind.Kind(dataclasses.replace(BASE, name="one", state_dir=tmp_path / "state"))
    chosen.load("image:1")
    chosen.down()
    assert calls.read_text().splitlines() == [
        "load docker-image image:1 --name=one",
        f"delete cluster --kubeconfig={tmp_path}/state/.kind-one/kubeconfig --name=one",
    ]


@pytest.mark.cluster
def test_a_context_of_the_users_own_is_checked_and_left_alone(with_node, monkeypatch, capsys):
    monkeypatch.setenv("KUBECONFIG", str(with_node.where.kubeconfig))
    chosen = dataclasses.replace(settings.load(), context=with_node.where.kernel_name)
    access = providers.bring_up(chosen, up.Wanted())
    assert access == providers.Access(None, with_node.where.kernel_name)
    said = capsys.readouterr().out
    assert "no Gateway API" in said
    assert "no default StorageClass" in said
    providers.take_down(chosen)
    assert "helm uninstall" in capsys.readouterr().out
    assert with_node.server.is_ready()
    lines, is_whole = providers.report(chosen)
    assert is_whole
    assert lines[0].endswith("answers")
    names = [
        item["metadata"]["name"] for item in with_node.server.get("/api/v1/namespaces")["items"]
    ]
    assert "envoy-gateway-system" not in names


@pytest.mark.cluster
def test_a_context_that_does_not_answer_is_named(with_node, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(with_node.where.kubeconfig))
    with pytest.raises(errors.CommandFailed, match="no-such-context") as failed:
        foreign.Foreign("no-such-context", with_node.cache.path("kubectl")).check()
    assert "FAIRLEAD_CONTEXT" in failed.value.way_out
