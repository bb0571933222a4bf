"""What the pipelines' last tasks do to a real API server: they end what their run made only."""

import json
import time
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from fairlead_airflow import hooks, naming, operators
from fairlead_airflow.pipelines import cleaning, deployment, parameters, room, training
from fairlead_airflow.pipelines.rollback import RollBackOperator
from fairlead_api import names

pytestmark = pytest.mark.cluster

JOB = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "configMapRef": {"name": "rows"}}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "work"},
}
MAKERS = ["assess.serve", "assess_again.serve"]
ARTIFACT = {
    "uri": "pvc://work/model",
    "digest": f"sha256:{'0' * 64}",
    "sizeBytes": 1,
    "kind": "Model",
    "baseModel": "pvc://work/base",
    "datasetDigest": "",
}
PATIENCE_SECONDS = 120
MOMENT = "2026-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def connection(cluster, team, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


@pytest.fixture
def there(connection):
    return hooks.FairleadHook()


def context(task_id, run_id="run-1", states=None):
    ti = SimpleNamespace(
        dag_id="fine_tune",
        task_id=task_id,
        run_id=run_id,
        map_index=-1,
        xcom_pull=lambda *asked, **more: 1,  # of a try before, which Airflow keeps
        get_task_states=lambda **asked: {run_id: states or {}},
    )
    return {"ti": ti}


@pytest.fixture
def train(team):
    """Makes the FineTuneJob of a run, as its task does."""

    def made(run_id="run-1"):
        submit = operators.SubmitOperator(task_id="train.submit", manifest={"spec": JOB})
        return submit.execute(context("train.submit", run_id))["name"]

    return made


@pytest.fixture
def serve(team):
    """Makes or changes a service, as a task of a run does."""

    def made(name, uri, task_id="assess.serve", run_id="run-1"):
        manifest = {"spec": {"model": {"uri": uri}}}
        task = operators.ServeOperator(task_id=task_id, name=name, manifest=manifest)
        with pytest.raises(TaskDeferred):
            task.execute(context(task_id, run_id))

    return made


def clean(run_id="run-1", **changes):
    task = cleaning.CleanUpOperator(
        task_id="clean_up",
        services=[{"name": "{{ params.name }}-candidate", "made_by": MAKERS}],
        jobs=["train.submit"],
        **changes,
    )
    task.render_template_fields({"params": {"name": "units"}})
    return task.execute(context("clean_up", run_id))


def complete(kubectl, team, job, artifact=None):
    condition = {
        "type": "Complete",
        "status": "True",
        "reason": "Succeeded",
        "message": "",
        "lastTransitionTime": MOMENT,
    }
    status = {"conditions": [condition]} | ({"artifact": artifact} if artifact else {})
    patch = json.dumps({"status": status})
    kind = f"{names.FINETUNEJOB_PLURAL}.{names.GROUP}"
    kubectl("patch", kind, job, "-n", team, "--subresource=status", "--type=merge", "-p", patch)


def test_clean_up_ends_what_its_run_made_and_nothing_else(there, team, train, serve):
    own, others = train(), train("run-2")
    serve("units-candidate", "pvc://work/a")
    serve("units", "pvc://work/a", task_id="production")
    assert clean() == {
        "deleted": ["modelservice/units-candidate", f"finetunejob/{own}"],
        "kept": [],
    }
    assert there.read(hooks.Target(names.FINETUNEJOB, team, others)) is not None
    assert there.read(hooks.Target(names.MODELSERVICE, team, "units")) is not None


@pytest.mark.parametrize(
    ("task_id", "run_id"),
    [("somebody", "run-1"), ("production", "run-0")],
    ids=["another task", "another task of another run"],
)
def test_clean_up_spares_a_candidate_that_others_made(there, team, serve, task_id, run_id):
    serve("units-candidate", "pvc://work/a", task_id, run_id)
    serve("units-candidate", "pvc://work/b")  # changed by this run, not made
    assert clean() == {"deleted": [], "kept": ["modelservice/units-candidate"]}


def test_clean_up_ends_the_candidate_that_an_earlier_run_left(there, team, serve):
    serve("units-candidate", "pvc://work/a", run_id="manual__2026-01-01T00:00:00/1")
    serve("units-candidate", "pvc://work/b", "assess_again.serve", "run-2")
    assert clean("run-2")["deleted"] == ["modelservice/units-candidate"]


@pytest.mark.parametrize(
    ("keep_jobs", "is_there"), [("True", True), ("False", False)], ids=["kept", "deleted"]
)
def test_job_that_is_over_stays_where_the_form_says_so(
    there, kubectl, team, train, keep_jobs, is_there
):
    job = train()
    complete(kubectl, team, job)
    clean(keep_jobs=keep_jobs)
    assert (there.read(hooks.Target(names.FINETUNEJOB, team, job)) is not None) == is_there


def test_clean_up_of_nothing_is_fine():
    assert clean() == {"deleted": [], "kept": []}


# --- going back


NEW, OLD = {"uri": "pvc://work/new"}, {"uri": "pvc://work/old"}


def go_back(record, found_good="upstream_failed"):
    task = RollBackOperator(
        task_id="roll_back",
        record=record,
        deployed_by="serve",
        found_good_by="traffic",
        name="units",
    )
    return task.execute(context("roll_back", states={"traffic": found_good}))


def record(before):
    return {"model": NEW, "before": before}


@pytest.fixture
def served(there, team):
    """The model that the service is told to serve; None where there is no service."""

    def model():
        found = there.read(hooks.Target(names.MODELSERVICE, team, "units"))
        return found["spec"]["model"] if found else None

    return model


def test_model_before_serves_again(serve, served, there, team):
    serve("units", OLD["uri"], "somebody", "run-0")
    serve("units", NEW["uri"], "serve")
    with pytest.raises(TaskDeferred) as deferral:
        go_back(record({"model": OLD, "engine": {"dtype": "float32"}}))
    assert served() == OLD
    found = there.read(hooks.Target(names.MODELSERVICE, team, "units"))
    assert found["spec"]["engine"]["dtype"] == "float32"
    assert deferral.value.trigger.on_kill_action == "keep"


def test_deployment_that_was_found_good_stays(serve, served):
    serve("units", NEW["uri"], "serve")
    assert go_back(record({"model": OLD}), "success") == {}
    assert served() == NEW


def test_service_that_the_deployment_made_is_deleted(serve, served):
    serve("units", NEW["uri"], "serve")
    go_back(record(None))
    assert served() is None


def test_service_that_somebody_made_meanwhile_is_not_deleted(serve, served):
    serve("units", NEW["uri"], "somebody")
    go_back(record(None))
    assert served() == NEW


@pytest.mark.parametrize(
    "given", [None, {"model": {"uri": "pvc://work/another"}, "before": {"model": OLD}}],
    ids=["ended before", "changed by others since"],
)  # fmt: skip
def test_service_that_is_not_as_deployed_is_left(serve, served, given):
    serve("units", NEW["uri"], "serve")
    assert go_back(given) == {}
    assert served() == NEW


def test_nothing_to_go_back_from_is_fine():
    assert go_back(record({"model": OLD})) == {}


# --- checks, room and ends


def check(**changes):
    form = {key: param.value for key, param in parameters.fine_tune().items()} | changes
    run, ti = SimpleNamespace(conf=None), context("check")["ti"]
    return training.check(form, DAG("fine_tune"), run, ti)


def provision(**changes):
    form = {key: param.value for key, param in parameters.deploy_model().items()} | changes
    run, ti = SimpleNamespace(conf=None), context("provision")["ti"]
    return deployment.provision(form, DAG("deploy_model"), run, ti, {})


def scale_back():
    task = operators.ScaleOperator(task_id="scale_down", name="units", restores=True)
    return task.execute(context("scale_down"))


def test_judge_that_is_not_there_is_missed_before_any_compute(team, serve):
    with pytest.raises(AirflowFailException, match=f"judge: modelservice/big is not .* {team}"):
        check(judge="big")
    serve("big", "pvc://work/big", "somebody")
    assert check(judge="big")["job"]


MODEL = {"fine_tune_job": None, "model_uri": "pvc://work/model"}


def test_checks_leave_nothing_in_the_cluster(kubectl, team):
    check()
    assert provision(**MODEL) == {"uri": "pvc://work/model"}
    kinds = ",".join(f"{plural}.{names.GROUP}" for plural in hooks.PLURALS.values())
    assert kubectl("get", kinds, "-n", team, "-o", "name") == ""


def test_namespace_that_is_not_there_is_found_before_any_compute():
    with pytest.raises(AirflowFailException, match='namespaces "nowhere" not found'):
        check(namespace="nowhere")
    with pytest.raises(AirflowFailException, match="claim work is not there .namespace nowhere"):
        provision(namespace="nowhere", **MODEL)


def test_jobs_to_deploy_are_named_where_the_one_asked_for_is_not_there(kubectl, team, train):
    done = train()
    train("run-2")
    complete(kubectl, team, done, ARTIFACT)
    with pytest.raises(AirflowFailException, match=f"units is not there; .* models of {done}$"):
        provision()


def test_service_that_the_cluster_would_not_take_is_found_before_it_changes(kubectl, team):
    refusal = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": team},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team}},
                "resourceRules": [
                    {
                        "apiGroups": [names.GROUP],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": [names.MODELSERVICE_PLURAL],
                    }
                ],
            },
            "validations": [{"expression": "false", "message": "the team serves nothing"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": team},
        "spec": {"policyName": team, "validationActions": ["Deny"]},
    }
    policy = json.dumps({"apiVersion": "v1", "kind": "List", "items": [refusal, binding]})
    kubectl("apply", "-f", "-", stdin=policy)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        with pytest.raises(AirflowFailException, match="the team serves nothing"):
            while time.monotonic() < deadline:  # a policy counts after a moment
                provision(**MODEL)
        with pytest.raises(AirflowFailException, match="the team serves nothing"):
            check()
    finally:
        kubectl("delete", "-f", "-", stdin=policy)


@pytest.fixture
def without_rights(powerless, team, monkeypatch):
    """Makes the connection that of an account which may do nothing."""
    extra = {"kube_config": powerless, "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


TASKS = {
    "check": check,
    "provision": lambda: provision(**MODEL),
    "submit": lambda: operators.SubmitOperator(
        task_id="train.submit", manifest={"spec": JOB}
    ).execute(context("train.submit")),
    "clean_up": lambda: clean(),
    "roll_back": lambda: go_back(record({"model": OLD})),
    "scale_down": scale_back,
    "delete": lambda: operators.DeleteOperator(
        task_id="delete", kind=names.MODELSERVICE, name="units"
    ).execute(context("delete")),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_task_of_who_has_no_rights_fails_at_once(without_rights, task):
    with pytest.raises(AirflowFailException, match="[Ff]orbidden"):
        task()


def test_claims_and_quotas_of_a_namespace_are_seen(there, kubectl, team):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team", "namespace": team},
        "spec": {"hard": {"pods": "9"}},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    assert room.has_claim(there, team, "work")
    assert not room.has_claim(there, team, "absent")
    assert [each["metadata"]["name"] for each in room.quotas(there, team)] == ["team"]


def test_watcher_tells_which_task_failed():
    states = {"run-1": {"train.train": "failed", "announce_model": "upstream_failed"}}
    ti = SimpleNamespace(dag_id="fine_tune", run_id="run-1", get_task_states=lambda **asked: states)
    watcher = cleaning.WatcherOperator(task_id="watcher", ends=["announce_model"])
    with pytest.raises(AirflowFailException, match="failed: train.train"):
        watcher.execute({"ti": ti})
    states["run-1"] = {"announce_model": "success"}
    assert watcher.execute({"ti": ti}) == "announce_model"


def test_job_of_a_run_is_found_by_its_name_alone(train):
    maker = naming.TaskKey("fine_tune", "train.submit", "run-1")
    assert train() == naming.resource_name(maker)
