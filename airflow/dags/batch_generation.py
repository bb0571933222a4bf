"""Ask a served model a day's prompts, and load its good answers into a warehouse.

### What a run does
1. **day**, **wait_for_prompts**: waits for `FOLDER/prompts/DAY.jsonl`, and until nobody has
   written to it for a minute, holding no worker.
2. **prepare**: validates row by row; broken rows are counted by reason and never cost the day.
3. **scale_up**: at least so many replicas; what more there are stays.
4. **generate**: asks what has no answer yet. Killed, or its worker lost, the next try goes on.
5. **filter**, **load**: good answers into the table, all of the day in one transaction.
6. **scale_down**, whatever came before: as many replicas as there were.

A row is `{"prompt": …}` or `{"messages": […]}`, with an `id` or without.

It has no schedule: whose prompts, which service and which table are yours to say. For every day,
give a file of your own `schedule="@daily"` and the defaults that you want.
"""

from airflow.sdk import dag

from fairlead_airflow.pipelines import batch, parameters, timing


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=parameters.batch_generation(),
    default_args=timing.DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["fairlead", "batches"],
)
def batch_generation() -> None:
    """Wait, ask, filter, load."""
    batch.string()


batch_generation()
