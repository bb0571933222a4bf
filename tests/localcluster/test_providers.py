"""Which cluster is meant, and what kind is told; a context of the user's own is in test_foreign."""

import dataclasses
from pathlib import Path

import pytest

from fairlead_cluster import (
    __main__,
    embedded,
    errors,
    foreign,
    images,
    kind,
    providers,
    settings,
    toolchain,
)

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
        pytest.param({}, [], embedded.Embedded, id="nothing-here"),
        pytest.param({}, ["docker"], embedded.Embedded, id="docker-without-kind"),
        pytest.param({}, ["kind"], embedded.Embedded, id="kind-without-docker"),
        pytest.param({}, ["kind", "docker"], kind.Kind, id="kind-and-docker"),
        pytest.param(
            {"FAIRLEAD_PROVIDER": "embedded"},
            ["kind", "docker"],
            embedded.Embedded,
            id="said-embedded",
        ),
        pytest.param(
            {"FAIRLEAD_CONTEXT": "gke"}, ["kind", "docker"], foreign.Foreign, id="context-wins"
        ),
    ],
)
def test_choice(with_programs, environment, programs, chosen):
    with_programs("sh", *programs)
    loaded = settings.load({"HOME": "/nowhere", **environment})
    assert providers.choose(loaded) == chosen(loaded)


@pytest.mark.parametrize(
    ("provider", "words"), [("minikube", "no provider 'minikube'"), ("kind", "kind can't be used")]
)
def test_a_provider_that_can_not_be_is_refused(with_programs, provider, words):
    with_programs()
    with pytest.raises(errors.ClusterError, match=words) as refused:
        providers.choose(dataclasses.replace(BASE, provider=provider))
    assert "unset" in refused.value.way_out


@pytest.fixture
def kinds_calls(tmp_path, monkeypatch):
    """kind and docker that write down how they are called; kind itself can't run here."""
    calls = tmp_path / "calls"
    calls.touch()
    (tmp_path / "kind").write_text(f'#!/bin/sh\necho "$@" >>{calls}\n')
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 0\n")
    for name in ("kind", "docker"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    go = toolchain.Go(program=Path("/no/where/go"), version="go1.26.8")
    monkeypatch.setattr(toolchain, "find_go", lambda _: go)  # else one is fetched
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FAIRLEAD_CLUSTER", "one")
    monkeypatch.delenv("FAIRLEAD_CONTEXT", raising=False)
    monkeypatch.delenv("FAIRLEAD_PROVIDER", raising=False)
    return lambda: calls.read_text().splitlines()


def test_kind_has_a_kubeconfig_of_its_own_and_is_removed_by_down(kinds_calls, tmp_path):
    assert __main__.main(["down", "--all"]) == 0
    kubeconfig = tmp_path / "state/fairlead/.kind-one/kubeconfig"
    assert kinds_calls() == [f"delete cluster --kubeconfig={kubeconfig} --name=one"]


def test_kind_is_given_the_charts_images(kinds_calls):
    chosen = providers.choose(settings.load())
    pushed = chosen.push_images()
    options = images.Options(engine="docker")
    workshop = images.open_workshop(chosen.settings.cache_dir, options)
    assert pushed == {name: workshop.reference(name) for name in ("operator", "trainer", "server")}
    assert kinds_calls() == [f"load docker-image {each} --name=one" for each in pushed.values()]


@pytest.mark.parametrize("verb", ["status", "kubeconfig"])
def test_kind_cluster_that_is_not_there_is_named(kinds_calls, capsys, verb):
    assert __main__.main([verb]) == 1
    assert "kind has no cluster one; make it with" in capsys.readouterr().err


def test_image_is_loaded_into_kind_under_the_name_that_is_given(kinds_calls, capsys):
    assert __main__.main(["load", "image:1", "--as", "other:2"]) == 0
    assert capsys.readouterr().out == "other:2\n"
    assert kinds_calls() == ["load docker-image other:2 --name=one"]
