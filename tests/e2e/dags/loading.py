"""A DAG of the tests: a day's answers as a batch leaves them, loaded into the warehouse."""

from airflow.sdk import Param, dag, task

from fairlead_airflow.operators import LoadAnswersOperator

DAY = "2026-01-31"
WAREHOUSE = "fairlead_warehouse"
TABLE = "answers_of_tests"
NUM_ROWS = 500
FILE = "/data/answers.jsonl"


BAD = {"an integer out of range": {"answer_tokens": 2**40}, "a NUL in a text": {"answer": "a\0b"}}


@dag(schedule=None, params={"line_300_has": Param(None, enum=[None, *BAD])})
def loading():
    @task
    def write(**context):
        import json
        from pathlib import Path

        bad = BAD.get(context["params"]["line_300_has"], {})
        with Path(FILE).open("w") as file:
            for line in range(1, NUM_ROWS + 1):
                row = {"service": "team/units", "id": str(line), "line": line, "model": "m"}
                row |= {"prompt": "a", "answer": "b", "answer_tokens": 1}
                file.write(json.dumps(row | (bad if line == 300 else {})) + "\n")

    load = LoadAnswersOperator(
        task_id="load", answers=FILE, table=TABLE, day=DAY, conn_id=WAREHOUSE
    )

    @task(trigger_rule="all_done")
    def count():
        from airflow.sdk import BaseHook

        hook = BaseHook.get_connection(WAREHOUSE).get_hook()
        return hook.get_first(f"SELECT count(*) FROM {TABLE}")[0]

    write() >> load >> count()


loading()
