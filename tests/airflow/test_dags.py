"""Every file in airflow/dags: cheap to read, complete, and safe to start as it stands."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from fairlead_airflow.operators.evaluating import EvaluateOperator
from fairlead_airflow.operators.stages import StageSensor
from fairlead_airflow.pipelines import cleaning

FOLDER = Path(__file__).parents[2] / "airflow" / "dags"
FILES = sorted(FOLDER.glob("*.py"))
PARSE_SECONDS = 0.3
TRIES = 6
SHARE = 0.15  # of what Airflow itself takes, about 2 s: on a busy machine all takes longer
HEAVY = ("kubernetes", "kubernetes_asyncio", "aiohttp", "torch", "sqlalchemy.orm", "pandas")
MEASURE = """
import importlib.util, sys, time
print(time.process_time())
import airflow.sdk
from airflow.sdk import DAG, Asset, BaseOperator, Param, TaskGroup
import airflow.providers.standard.operators.python
before = set(sys.modules)
began = time.process_time()
spec = importlib.util.spec_from_file_location("parsed", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(began)
print(time.process_time())
print(*sorted(set(sys.modules) - before))
"""
SECRET = re.compile(r"(?i)(password|token|secret|api_key)\s*[=:]\s*[\"'][^\"'{]+")

of_files = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def read(file: Path) -> DAG:
    """The one DAG of a file, which has the file's name; registered as Airflow does it."""
    spec = importlib.util.spec_from_file_location(f"dag_{file.stem}", file)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = spec.name
    try:
        spec.loader.exec_module(module)
        ((dag, _),) = DagContext.autoregistered_dags
    finally:
        DagContext.current_autoregister_module_name = None
        del sys.modules[spec.name]
    assert dag.dag_id == file.stem
    return dag


def test_there_is_a_file_for_each_pipeline():
    assert {file.stem for file in FILES} == {"fine_tune", "deploy_model", "batch_generation"}


@of_files
def test_file_is_read_quickly_and_loads_no_client(file):
    seconds = []
    for _ in range(TRIES):  # other work on the same cores makes any one of them slow
        command = [sys.executable, "-c", MEASURE, file]
        began, bare, end, loaded = subprocess.check_output(command, text=True).splitlines()[-4:]
        assert [name for name in HEAVY if name in loaded.split()] == []
        seconds.append((float(end) - float(bare), float(bare) - float(began)))
        if seconds[-1][0] <= max(PARSE_SECONDS, SHARE * seconds[-1][1]):
            return
    pytest.fail(
        f"(file, Airflow itself) took {seconds} s of CPU, at most {PARSE_SECONDS} for a file"
    )


@of_files
def test_file_is_thin(file):
    assert len(file.read_text().split('"""', 2)[2].strip().splitlines()) <= 30


@of_files
def test_dag_is_described_and_tagged(file):
    dag = read(file)
    assert "### What a run does" in dag.doc_md
    assert "fairlead" in dag.tags
    assert not dag.catchup
    assert dag.max_active_runs == 1


def test_training_is_weekly_and_waits_for_the_next_week():
    timetable = read(FOLDER / "fine_tune.py").timetable
    assert (timetable.expression, timetable.timezone) == ("0 0 * * 0", "UTC")
    assert not timetable.run_immediately
    assert read(FOLDER / "fine_tune.py").start_date is None


@pytest.mark.parametrize("name", ["deploy_model", "batch_generation"])
def test_dag_without_a_schedule_says_why(name):
    dag = read(FOLDER / f"{name}.py")
    assert dag.schedule is None
    assert "It has no schedule: " in dag.doc_md


@of_files
def test_form_is_complete_and_its_defaults_are_valid(file):
    params = read(file).params
    for name in params:
        param = params.get_param(name)
        param.resolve()
        assert {"type", "title", "section"} <= set(param.schema), name
        assert param.description, name


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("fine_tune", "name", "Not a label"),
        ("fine_tune", "name", "n" * 31),
        ("fine_tune", "base_model", "s3://bucket/model"),
        ("fine_tune", "max_steps", 0),
        ("fine_tune", "learning_rate", 0),
        ("fine_tune", "rows", "x" * 131_073),
        ("fine_tune", "tuning", "QLoRA"),
        ("fine_tune", "training_resources", "500m"),
        ("fine_tune", "production_gates", [{"metric": "bleu", "threshold": 1}]),
        ("fine_tune", "production_gates", [{"metric": "bleu", "operator": "=", "threshold": 1}]),
        ("deploy_model", "model_uri", "gs://bucket/model"),
        ("deploy_model", "replicas", -1),
        ("batch_generation", "day", "yesterday"),
        ("batch_generation", "folder", "relative/path"),
        ("batch_generation", "min_accepted", 1.1),
        ("batch_generation", "format", "xml"),
    ],
)
def test_form_refuses_what_no_run_could_use(name, field, value):
    with pytest.raises(ParamValidationError):
        read(FOLDER / f"{name}.py").params.get_param(field).resolve(value)


@of_files
def test_every_task_has_a_time_and_tries_again_more_and_more_slowly(file):
    for task in read(file).tasks:
        waits = getattr(task, "response_timeout", None) or getattr(task, "timeout", None)
        assert task.execution_timeout or waits, task.task_id
        assert task.retry_exponential_backoff, task.task_id
        assert task.max_retry_delay, task.task_id
    assert read(file).dagrun_timeout is None, "it would skip clean-up"


@of_files
def test_run_ends_in_clean_up_and_watcher_whatever_comes_before(file):
    dag = read(file)
    (watcher,) = [task for task in dag.tasks if not task.downstream_task_ids]
    assert watcher.task_id == cleaning.WATCHER
    assert watcher.on_failure_fail_dagrun
    teardowns = {task.task_id for task in dag.tasks if task.is_teardown}
    assert len(teardowns) == 2
    others = {task.task_id for task in dag.tasks} - teardowns
    leaves = {
        task.task_id
        for task in dag.tasks
        if task.task_id in others and task.downstream_task_ids <= teardowns
    }
    assert leaves <= watcher.upstream_task_ids, "else the watcher would not see how they ended"
    assert set(watcher.ends) <= leaves


def keys(value):
    """Keys of all mappings within a value."""
    if isinstance(value, dict):
        return {str(key) for key in value} | {k for v in value.values() for k in keys(v)}
    if isinstance(value, list | tuple):
        return {key for each in value for key in keys(each)}
    return set()


@of_files
def test_no_key_of_a_mapping_is_a_template_which_airflow_would_leave_as_it_is(file):
    for task in read(file).tasks:
        for field in task.template_fields:
            assert not any("{{" in key for key in keys(getattr(task, field))), task.task_id


@of_files
def test_questions_of_a_form_open_no_file_outside_the_folder_of_dags(file):
    asking = [task for task in read(file).tasks if isinstance(task, EvaluateOperator)]
    assert all(task.confined for task in asking)
    assert bool(asking) == (file.stem != "batch_generation")


@of_files
def test_dag_can_be_stored(file):
    stored = DagSerialization.to_dict(read(file))
    assert stored["dag"]["dag_id"] == file.stem


@of_files
def test_no_secret_stands_in_a_file_or_its_form(file):
    assert not SECRET.search(file.read_text())
    stored = str(DagSerialization.to_dict(read(file)))
    assert not SECRET.search(stored)


# --- what hangs together in fine_tune


def upstream(dag: DAG, task: str) -> set[str]:
    return dag.get_task(task).upstream_task_ids


def test_training_is_told_by_its_stages():
    stages = [
        task.task_id
        for task in read(FOLDER / "fine_tune.py").tasks
        if isinstance(task, StageSensor)
    ]
    assert stages == [
        f"{group}.{stage}"
        for group in ("train", "retrain")
        for stage in ("prepare", "train", "export")
    ]


def test_nothing_is_made_before_the_check():
    dag = read(FOLDER / "fine_tune.py")
    assert [task.task_id for task in dag.tasks if not task.upstream_task_ids] == ["check"]
    assert upstream(dag, "train.submit") == {"check"}


def test_gates_lead_to_every_end_and_the_second_to_no_third_training():
    dag = read(FOLDER / "fine_tune.py")
    first = dag.get_task("assess.gate").downstream_task_ids
    assert first == {"production", "staging", "retrain.submit", "notify"}
    assert dag.get_task("assess_again.gate").downstream_task_ids == first - {"retrain.submit"}


def test_clean_up_knows_every_task_that_makes_something_for_a_while():
    dag = read(FOLDER / "fine_tune.py")
    clean_up = dag.get_task(cleaning.CLEAN_UP)
    (service,) = clean_up.services
    assert service["name"] == "{{ params.name }}-candidate"
    assert service["made_by"] == [t.task_id for t in dag.tasks if t.task_id.endswith(".serve")]
    makers = {task.task_id for task in dag.tasks if task.task_id.endswith(".submit")}
    assert set(clean_up.jobs) == makers


def test_only_the_task_that_waits_for_a_person_waits_for_days():
    dag = read(FOLDER / "fine_tune.py")
    waits = [task for task in dag.tasks if not task.execution_timeout]
    assert [task.task_id for task in waits] == ["assess.ask_person", "assess_again.ask_person"]
    assert {task.retries for task in waits} == {0}, "another try would wait as long once more"
