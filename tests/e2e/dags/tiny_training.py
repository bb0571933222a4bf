"""A DAG of the tests: one step of training, waited for in the triggerer."""

from airflow.sdk import Param, dag

from fairlead_airflow.operators import FineTuneOperator

ROW = '{"prompt": "a", "completion": "b"}'


@dag(schedule=None, params={"base": Param("pvc://storage/base", type="string")})
def tiny_training():
    spec = {
        "model": {"uri": "{{ params.base }}"},
        "datasets": [{"name": "rows", "inline": f"{ROW}\n{ROW}"}],
        "trainer": {"type": "SFT"},
        "hyperparameters": {"maxSteps": 1},
        "storage": {"claimName": "storage"},
    }
    FineTuneOperator(task_id="train", manifest={"spec": spec})


tiny_training()
