"""The tasks around a batch: files in, files out, and small results; no service is asked here."""

import json
import sqlite3
from contextlib import closing

import pytest
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import fields, pins
from fairlead_airflow.endpoint import NotServing
from fairlead_airflow.operators import (
    BatchGenerateOperator,
    FilterAnswersOperator,
    LoadAnswersOperator,
    PreparePromptsOperator,
)

DAY = "2026-01-31"


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return str(path)


def read(path):
    with open(path) as stream:
        return [json.loads(line) for line in stream]


# --- prepare -------------------------------------------------------------------------------


def prepare(tmp_path, *rows, **changes):
    source = write(tmp_path / "day.jsonl", *rows)
    return PreparePromptsOperator(
        task_id="prepare", prompts=source, folder=str(tmp_path / DAY), **changes
    )


def test_broken_rows_go_to_a_file_and_the_day_goes_on(tmp_path):
    found = prepare(
        tmp_path, {"id": "a", "prompt": " one "}, "{broken", {"prompt": "two"}, {"prompt": "two"}
    ).execute({})
    assert found == {
        "num_rows": 4,
        "num_prompts": 2,
        "num_broken": 1,
        "reasons": {"NotJSON": 1, "DuplicatePrompt": 1},
        "prompts": str(tmp_path / DAY / "prompts.jsonl"),
        "errors": str(tmp_path / DAY / "broken.jsonl"),
    }
    assert json.loads(json.dumps(found)) == found
    assert read(found["prompts"])[0] == {"id": "a", "line": 1, "prompt": "one"}
    assert [(row["line"], row["reason"]) for row in read(found["errors"])] == [
        (2, "NotJSON"),
        (4, "DuplicatePrompt"),
    ]


def test_file_that_is_mostly_broken_fails_and_tells_each_row(tmp_path):
    task = prepare(tmp_path, {"prompt": "one"}, "{", "[]")
    with pytest.raises(AirflowFailException, match=r"2 of 3 rows are broken.*line 2"):
        task.execute({})
    assert [row["line"] for row in read(tmp_path / DAY / "broken.jsonl")] == [2, 3]
    assert not (tmp_path / DAY / "prompts.jsonl").exists()


@pytest.mark.parametrize(
    ("changes", "num_prompts"),
    [({}, 2), ({"max_chars": "3"}, 1), ({"is_unique": False}, 3)],
    ids=["as it is", "length as a template writes it", "not unique"],
)
def test_rules_of_prompts_have_their_effect(tmp_path, changes, num_prompts):
    rows = [{"id": "a", "prompt": "one"}, {"id": "b", "prompt": "one"}, {"prompt": "three"}]
    assert prepare(tmp_path, *rows, **changes).execute({})["num_prompts"] == num_prompts


def test_share_of_broken_rows_may_be_changed(tmp_path):
    assert prepare(tmp_path, {"prompt": "one"}, "{", "[]", max_broken="0.7").execute({})
    with pytest.raises(AirflowFailException, match="more than 10%"):
        prepare(tmp_path, {"prompt": "one"}, "{", max_broken=0.1).execute({})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompts": "gs://bucket/day.jsonl"}, "prompts: must be the whole path"),
        ({"folder": "out"}, "folder: must be the whole path"),
        ({"max_chars": "many"}, "max_chars: must be a whole number, it is 'many'"),
        ({"max_chars": 0}, "max_chars: must be a whole number from 1"),
        ({"max_broken": 50}, "max_broken: must be a number from 0 to 1"),
    ],
    ids=["address", "relative", "text", "zero", "per cent"],
)
def test_field_that_cant_be_meant_is_named(tmp_path, changes, words):
    task = prepare(tmp_path, {"prompt": "one"})
    for name, value in changes.items():
        setattr(task, name, value)
    with pytest.raises(AirflowFailException, match=words):
        task.execute({})


def test_prompts_file_that_is_not_there_is_named(tmp_path):
    task = prepare(tmp_path)
    task.prompts = str(tmp_path / "none.jsonl")
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        task.execute({})


# --- filter --------------------------------------------------------------------------------


def filtering(tmp_path, *texts, finish_reason="stop", **changes):
    rows = [
        {"id": f"p{n}", "answer": text, "finish_reason": finish_reason}
        for n, text in enumerate(texts, 1)
    ]
    return FilterAnswersOperator(
        task_id="filter", answers=write(tmp_path / "answers.jsonl", *rows), **changes
    )


def test_answers_are_parted_and_counted(tmp_path):
    found = filtering(tmp_path, "one", "", "the " * 100, "two").execute({})
    assert found == {
        "num_answers": 4,
        "num_accepted": 2,
        "num_rejected": 2,
        "reasons": {"Empty": 1, "Repetitive": 1},
        "accepted": str(tmp_path / "accepted.jsonl"),
        "rejected": str(tmp_path / "rejected.jsonl"),
    }
    assert [row["id"] for row in read(found["accepted"])] == ["p1", "p4"]
    assert [row["reason"] for row in read(found["rejected"])] == ["Empty", "Repetitive"]
    assert len(read(tmp_path / "answers.jsonl")) == 4


@pytest.mark.parametrize(
    ("changes", "num_accepted"),
    [
        ({}, 4),
        ({"min_chars": "4"}, 2),
        ({"max_chars": "3"}, 2),
        ({"max_chars": "None"}, 4),
        ({"format": "json"}, 1),
        ({"format": "json", "required_keys": ["b"]}, 0),
        ({"is_unique": True}, 3),
        ({"max_repetition": "0.9"}, 5),
        ({"finish_reason": "length"}, 0),
        ({"finish_reason": "length", "accepts_cut_off": True}, 4),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_rules_of_answers_have_their_effect(tmp_path, changes, num_accepted):
    texts = ["one", "one", '{"a": 1}', "longer", "it is so. " * 5]
    task = filtering(tmp_path, *texts, **changes)
    if num_accepted:
        task.min_accepted = 0
        assert task.execute({})["num_accepted"] == num_accepted
    else:
        with pytest.raises(AirflowFailException, match="0 of 5 answers are good"):
            task.execute({})


def test_day_of_bad_answers_fails_and_they_can_be_read(tmp_path):
    with pytest.raises(AirflowFailException, match=r"1 of 3 .* 50% are needed: Empty 2"):
        filtering(tmp_path, "one", "", " ").execute({})
    assert len(read(tmp_path / "rejected.jsonl")) == 2
    assert not (tmp_path / "accepted.jsonl").exists()


def test_rule_that_means_nothing_fails_for_good(tmp_path):
    with pytest.raises(AirflowFailException, match="format: must be text or json"):
        filtering(tmp_path, "one", format="xml").execute({})


# --- load ----------------------------------------------------------------------------------


@pytest.fixture
def loading(tmp_path, monkeypatch):
    described = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", described)

    def make(*rows, **changes):
        given = {
            "answers": write(tmp_path / "accepted.jsonl", *rows), "table": "answers",
            "day": DAY, "conn_id": "warehouse",
        }  # fmt: skip
        return LoadAnswersOperator(task_id="load", **(given | changes))

    return make


def answer(number, **changes):
    named = {"id": f"p{number}", "line": number, "service": "team/units", "model": "m"}
    return named | {"prompt": "a", "answer": "b"} | changes


def test_accepted_answers_are_loaded(loading, tmp_path):
    found = loading(answer(1), answer(2)).execute({})
    assert found == {"table": "answers", "day": DAY, "num_rows": 2}
    loading(answer(1), answer(2)).execute({})
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as connection:
        assert connection.execute("SELECT id FROM answers").fetchall() == [("p1",), ("p2",)]


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        ([], {}, "no answer to load"),
        ([answer(1), answer(2, answer=None)], {}, r"line 2 \(id 'p2'\): answer is missing"),
        ([answer(1)], {"day": "today"}, "day: 'today'"),
        ([answer(1)], {"table": "a b"}, "table: 'a b'"),
        ([answer(1)], {"answers": "accepted.jsonl"}, "answers: must be the whole path"),
        ([answer(1, line=2**70)], {}, r"answers refuses line 1 \(id 'p1'\)"),
    ],
    ids=["nothing", "bad row", "day", "table", "path", "refused row"],
)
def test_what_cant_be_loaded_fails_for_good_and_is_named(loading, rows, changes, words):
    with pytest.raises(AirflowFailException, match=words):
        loading(*rows, **changes).execute({})


# --- all of them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [BatchGenerateOperator, FilterAnswersOperator, LoadAnswersOperator, PreparePromptsOperator],
)
def test_templated_fields_are_fields(kind):
    import inspect

    taken = inspect.signature(kind).parameters
    assert set(kind.template_fields) <= set(taken)


def test_refused_prompt_records_or_fails_and_nothing_else():
    with pytest.raises(ValueError, match="on_error: must be one of record, fail"):
        BatchGenerateOperator(
            task_id="generate", service="units", prompts="/a", folder="/b", on_error="ignore"
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"concurrency": "many"}, "concurrency: must be a whole number"),
        ({"max_tokens": 0}, "max_tokens: must be a whole number from 1"),
        ({"max_errors": 50}, "max_errors: must be a number from 0 to 1"),
        ({"prompts": "day.jsonl"}, "prompts: must be the whole path"),
        ({"folder": "out"}, "folder: must be the whole path"),
        ({"parameters": {"model": "other"}}, "parameters: model can't be set here"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_what_cant_be_meant_fails_before_a_cluster_is_asked(changes, words):
    given = {"service": "units", "prompts": "/a", "folder": "/b", "fairlead_conn_id": "absent"}
    task = BatchGenerateOperator(task_id="generate", **(given | changes))
    with pytest.raises(AirflowFailException, match=words):
        task.execute({})


@pytest.mark.parametrize("given", ["1.5", 1.5, None, [], "0"], ids=repr)
def test_whole_number_is_whole(given):
    with pytest.raises(fields.InvalidField, match="concurrency: must be a whole number"):
        fields.whole("concurrency", given)


@pytest.mark.parametrize("given", [8, "8", " 8 "], ids=repr)
def test_whole_number_may_come_from_a_template(given):
    assert fields.whole("concurrency", given) == 8


@pytest.mark.parametrize("given", [None, "", "None", "null"], ids=repr)
def test_number_that_may_be_left_out_may_be_so_by_a_template(given):
    assert fields.optional_whole("max_chars", given) is None


def service(**status):
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "units", "namespace": "team"},
        "spec": {"model": {"uri": "pvc://work/units"}},
        "status": status,
    }


DIGEST = f"sha256:{'0' * 64}"
ARTIFACT = {
    "kind": "Model", "uri": "pvc://work/a", "digest": DIGEST, "sizeBytes": 1,
    "baseModel": "pvc://work/base", "datasetDigest": DIGEST,
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (service(model={"uri": "pvc://work/a"}), "pvc://work/a"),
        (service(model={"uri": "pvc://work/a", "artifact": ARTIFACT}), f"pvc://work/a@{DIGEST}"),
        (service(), ""),
        (None, ""),
    ],
    ids=["address", "artifact", "none yet", "no service"],
)
def test_pinned_model_is_told_by_address_and_digest(body, model):
    assert pins.model(body) == model
    if model:
        assert pins.settled_model(body, "modelservice/units") == model


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "modelservice/units is not there"),
        (service(), "serves no model yet"),
        (service(model={"uri": "a"}, candidate="r2"), "revision r2 is on its way"),
    ],
    ids=["no service", "no model", "rollout"],
)
def test_service_of_which_it_isnt_clear_what_answers_is_not_asked(body, words):
    with pytest.raises(NotServing, match=words):
        pins.settled_model(body, "modelservice/units")
