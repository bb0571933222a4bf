"""What one pipeline tells the next."""

import pytest
from airflow.sdk import DAG, Asset, AssetAlias

from fairlead_airflow import assets

ARTIFACT = {"uri": "pvc://work/finetunejobs/a/b/artifact", "digest": f"sha256:{'0' * 64}"}
SERVED = {"name": "units", "namespace": "team", "url": "http://units.team"}


@pytest.mark.parametrize(
    ("asset", "name", "uri"),
    [
        (
            assets.promoted_model("team", "units"),
            "fairlead_model_team_units",
            "fairlead://models/team/units",
        ),
        (
            assets.prepared_dataset("team", "amounts"),
            "fairlead_dataset_team_amounts",
            "fairlead://datasets/team/amounts",
        ),
    ],
    ids=["model", "dataset"],
)
def test_asset_is_named_by_what_it_is_of(asset, name, uri):
    assert (asset.name, asset.uri, asset.group) == (name, uri, "fairlead")


def test_names_stay_within_what_airflow_allows():
    asset = assets.promoted_model("n" * 63, "s" * 40)
    assert len(asset.name) < 1500
    assert isinstance(asset, Asset)


@pytest.mark.parametrize(
    "schedule",
    [assets.promoted_model("team", "units"), assets.PROMOTED_MODELS, assets.PREPARED_DATASETS],
    ids=["one service", "any service", "any data"],
)
def test_dag_can_be_scheduled_by_it(schedule):
    dag = DAG("after", schedule=schedule)
    assert isinstance(schedule, Asset | AssetAlias)
    assert dag.timetable.asset_condition is not None


def test_event_of_a_model_tells_artifact_and_service():
    model = {"uri": ARTIFACT["uri"], "artifact": ARTIFACT, "fineTuneJob": "units-1"}
    assert assets.model_event(SERVED | {"model": model}) == {
        "service": "units",
        "namespace": "team",
        "url": "http://units.team",
        "uri": ARTIFACT["uri"],
        "digest": ARTIFACT["digest"],
        "fine_tune_job": "units-1",
    }


@pytest.mark.parametrize(
    ("model", "uri"), [(None, ""), ({"uri": "pvc://work/base"}, "pvc://work/base")]
)
def test_event_of_a_model_that_was_not_trained_here_has_no_digest(model, uri):
    event = assets.model_event(SERVED | {"model": model})
    assert (event["uri"], event["digest"]) == (uri, "")


def test_event_of_data_tells_its_digest_and_who_prepared_it():
    event = assets.dataset_event(
        {"name": "Prepare", "preparedDigest": "sha256:1"}, {"name": "units-1", "namespace": "team"}
    )
    assert event == {"digest": "sha256:1", "fine_tune_job": "units-1", "namespace": "team"}
