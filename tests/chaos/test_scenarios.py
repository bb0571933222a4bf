"""The scenarios are well made. That undisturbed runs end alike is the sample's to show."""

import re
from collections import Counter

import pytest

from fairlead_api import names
from fairlead_chaos import fates, tenant
from fairlead_chaos.scenario import Fate
from fairlead_chaos.scenarios import catalogue
from fairlead_chaos.scenarios.services import modelservice, revision_of
from fairlead_operator.settings import Settings

NUM_WANTED = 12
LABEL_VALUE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_OF = {
    names.FINETUNEJOB: {names.LABEL_FINETUNEJOB, names.LABEL_STAGE, names.LABEL_ATTEMPT},
    names.MODELSERVICE: {names.LABEL_MODELSERVICE, names.LABEL_REVISION},
}
EVERY = [pytest.param(scenario, id=name) for name, scenario in catalogue.ALL.items()]


def test_there_are_enough_of_both_kinds():
    counted = Counter(scenario.kind for scenario in catalogue.ALL.values())
    assert set(counted) == set(LABEL_OF)
    assert min(counted.values()) >= NUM_WANTED


def test_no_two_have_the_same_name():
    assert len(catalogue.ALL) == sum(len(module.ALL) for module in catalogue.MODULES)


@pytest.mark.parametrize("scenario", EVERY)
def test_its_name_may_be_that_of_its_resources(scenario):
    assert LABEL_VALUE.fullmatch(scenario.name)
    assert len(scenario.name) <= names.MAX_NAME_LENGTH
    assert fates.scenario_of(fates.namespace_of(scenario.name)) == scenario.name


@pytest.mark.parametrize("scenario", EVERY)
def test_its_fates_are_those_of_its_own_pods(scenario):
    for fate in scenario.fates:
        assert fate.scenario == scenario.name
        (whose,) = fate.selector.keys() & {names.LABEL_FINETUNEJOB, names.LABEL_MODELSERVICE}
        assert fate.selector[whose] == scenario.name
        kind = names.FINETUNEJOB if whose == names.LABEL_FINETUNEJOB else names.MODELSERVICE
        assert fate.selector.keys() == LABEL_OF[kind]


@pytest.mark.parametrize("scenario", EVERY)
def test_its_settings_are_the_operator_s(scenario):
    environment = tenant.environment(tenant.PLACEHOLDER, dict(scenario.settings))
    assert dict(scenario.settings).items() <= environment.items()
    assert Settings.from_env(environment) != Settings.from_env(
        tenant.environment(tenant.PLACEHOLDER, {})
    ) or (not scenario.settings)


def test_no_pod_has_two_fates():
    every = [fate for scenario in catalogue.ALL.values() for fate in scenario.fates]
    assert len(fates.stages(every)) > len(every)


def test_two_fates_of_the_same_pods_are_refused():
    train = {names.LABEL_STAGE: "train"}
    with pytest.raises(fates.FateError, match="same pod"):
        fates.stages([Fate("complete", train), Fate("complete", train, exit_code=1)])


def test_a_revision_is_told_by_what_was_asked_for():
    assert revision_of("served") == revision_of("served")
    assert revision_of("served") != revision_of("served", engine={"maxModelLen": 16})
    assert modelservice("served", replicas=2)["spec"]["replicas"] == 2
