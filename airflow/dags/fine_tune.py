"""Train a model, ask it, and let its scores decide where it serves.

### What a run does
1. **check**: manifest, data, questions and gates, before any compute is spent. Data is on a claim
   (`pvc://`), in the form, or at an address that is fetched and read row by row.
2. **train**: one FineTuneJob, a task for each of its stages.
3. **assess**: serves the model as `NAME-candidate`, asks it the questions, a person where the form
   says so, and decides by the gates:
    - those of production pass: it serves as **`NAME`**, and DAGs scheduled by the model are told;
    - those of staging pass: it serves as **`NAME-staging`**;
    - none pass: it is trained **once more with twice the steps**, and assessed again;
    - still none: **notify** says which gate failed by how much, and fails the run.
4. **clean_up**, whatever came before: deletes the candidate, be it one that an earlier run left,
   and a job of this run that nobody waits for any more.

Marking a run or a task as failed ends the training and frees its compute.

### Its schedule
Once unpaused, by Trigger's form too, it also trains by itself **each Sunday at 00:00 UTC**, with
the defaults (runs that were missed are not made up for). To try it only, pause it again when your
run has ended, by the switch beside its name; a run of a paused DAG gets no further.
"""

from airflow.sdk import dag

from fairlead_airflow.pipelines import parameters, timing, training


@dag(
    schedule=timing.WEEKLY,
    catchup=False,
    max_active_runs=1,
    params=parameters.fine_tune(),
    default_args=timing.DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["fairlead", "training"],
)
def fine_tune() -> None:
    """Train, assess, promote."""
    training.string()


fine_tune()
