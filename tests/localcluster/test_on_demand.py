"""KEDA and Prometheus: pinned with the rest, built only when somebody asks for them."""

import pytest

from fairlead_cluster import __main__, pins, programs, settings

ON_DEMAND = [name for group in pins.ON_DEMAND.values() for name in group]


@pytest.fixture
def built(monkeypatch):
    """The names that a command asked the cache for."""
    asked = []

    class Recorder:
        def build(self, names):
            asked.extend(names)

    monkeypatch.setattr(programs, "open_cache", lambda _: Recorder())
    return asked


@pytest.mark.parametrize(
    ("words", "names"),
    [
        pytest.param([], [], id="not-asked-for"),
        pytest.param(["--with", "keda"], ["keda", "keda-adapter"], id="keda"),
        pytest.param(["--with", "prometheus"], ["prometheus"], id="prometheus"),
        pytest.param(
            ["--with", "keda", "--with", "prometheus"],
            ["keda", "keda-adapter", "prometheus"],
            id="both",
        ),
    ],
)
def test_build_makes_what_was_asked_for_beside_the_rest(built, words, names):
    assert __main__.main(["build", *words]) == 0
    rest = [*pins.CONTROL_PLANE, *pins.NODE, *pins.ADDONS]
    assert built == [*rest, *names]


def test_a_group_that_is_not_pinned_is_refused_with_those_that_are(built, capsys):
    with pytest.raises(SystemExit) as ended:
        __main__.main(["build", "--with", "kafka"])
    assert ended.value.code == 2
    assert "choose from keda, prometheus" in capsys.readouterr().err.replace("'", "")
    assert built == []


@pytest.mark.cluster
@pytest.mark.parametrize("name", ON_DEMAND)
def test_its_pins_resolve(name):
    """Nobody builds them in each run of the tests: a pin that has rotted would go unseen."""
    go = programs.open_cache(settings.load().cache_dir).go
    program = pins.PROGRAMS[name]
    if isinstance(program, pins.ModuleProgram):
        go.check_sum(f"{program.module}@{program.version}", program.sum)
        return
    said = go.run(
        ["list", "-mod=readonly", "-f", "{{.Name}}", program.package],
        what=f"resolve {name}",
        way_out="run `go mod tidy` in cluster/",
        cwd=programs.ROOM,
    )
    assert said.strip() == "main"
