"""Serve a trained model, ask it before it counts, and go back where it is bad.

### What a run does
1. **provision**: the model is there and whole, its claim too; says what the quotas leave.
2. **register**: writes down model and digest, and what serves before.
3. **serve**: changes the ModelService, pod by pod, and waits until it has been Ready for a while.
4. **health**, **ask**, **validate**: Ready it must be, answer it must, and pass the gates if any.
5. **traffic**: all of it goes to the new model. (It moves with the pods: shares of traffic,
   canaries, come with a later version of Fairlead.)
6. **scale**: at least so many replicas.
7. **roll_back**, whatever came before: where the new model was not found good the one before
   serves again; a service that this run has made is deleted.

### After each promotion
It has no schedule: a deployment is somebody's decision. To deploy what `fine_tune` promotes,
write a file of your own:

```python
from airflow.sdk import dag
from fairlead_airflow import assets
from fairlead_airflow.pipelines import deployment, parameters, timing

@dag(schedule=assets.promoted_model("team", "units"), params=parameters.deploy_model(),
     default_args=timing.DEFAULT_ARGS, catchup=False, max_active_runs=1)
def deploy_promoted():
    deployment.string()

deploy_promoted()
```

The model is then the one that the event tells of.
"""

from airflow.sdk import dag

from fairlead_airflow.pipelines import deployment, parameters, timing


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=parameters.deploy_model(),
    default_args=timing.DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["fairlead", "serving"],
)
def deploy_model() -> None:
    """Provision, serve, validate, or go back."""
    deployment.string()


deploy_model()
