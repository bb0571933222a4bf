"""Every string that two parts of Fairlead must spell alike, each with its value's meaning.

Holds constants and the pure functions that derive names; nothing else may spell these out.
"""

from typing import Final

# --- API group and kinds -------------------------------------------------------------------
GROUP: Final = "fairlead.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "fairlead"  # `kubectl get fairlead` lists every kind of ours

FINETUNEJOB: Final = "FineTuneJob"
FINETUNEJOB_PLURAL: Final = "finetunejobs"
MODELSERVICE: Final = "ModelService"
MODELSERVICE_PLURAL: Final = "modelservices"

MAX_NAME_LENGTH: Final = 40  # leaves room for "-prepare-a999-0-abcde" within a DNS label

# --- Field managers (server-side apply) ----------------------------------------------------
MANAGER_OPERATOR: Final = "fairlead-operator"  # children and status
MANAGER_AIRFLOW: Final = "airflow"  # resources that a task of Airflow's applies
MANAGER_PROGRESS: Final = "fairlead-progress"  # FineTuneJob status.progress only

# --- Labels (on children and their pods; written by the operator) --------------------------
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "fairlead"  # the value; also the operator's server-side watch selector
LABEL_FINETUNEJOB: Final = f"{GROUP}/finetunejob"  # name of the FineTuneJob
LABEL_STAGE: Final = f"{GROUP}/stage"  # lower-case stage name: prepare, train, export
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"  # decimal attempt number, from 1
LABEL_MODELSERVICE: Final = f"{GROUP}/modelservice"  # name of the ModelService
LABEL_REVISION: Final = f"{GROUP}/revision"  # hash of the pod template
SELECTOR_MANAGED: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"

# --- Annotations ---------------------------------------------------------------------------
SAFE_TO_EVICT: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict"  # "false" on training pods
ANNOTATION_INPUTS: Final = f"{GROUP}/inputs"  # ControllerRevision: hash of what was asked for
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"  # child: hash of the manifest last applied
ANNOTATION_RESTARTED_AT: Final = f"{GROUP}/restarted-at"  # ModelService: a new value, new pods
ANNOTATION_TASK: Final = f"{GROUP}/airflow-task"  # dag/run/task[/index] that asked for it
ANNOTATION_SPEC: Final = f"{GROUP}/airflow-spec"  # digest of the spec that it asked for
ANNOTATION_REPLICAS: Final = f"{GROUP}/airflow-replicas"  # count before a task scaled it up
ANNOTATION_REPLICAS_SET: Final = f"{GROUP}/airflow-replicas-set"  # count that the task set

# --- Upstream's labels that we read --------------------------------------------------------
COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"  # rank of the node

# --- Paths inside our containers -----------------------------------------------------------
CLAIMS_DIR: Final = "/mnt/claims"  # <CLAIMS_DIR>/<claimName> is that PersistentVolumeClaim
RUN_DIR: Final = "/etc/fairlead/run"  # the run file's ConfigMap
RUN_FILE: Final = f"{RUN_DIR}/run.json"
RUN_FILE_KEY: Final = "run.json"
CA_KEY: Final = "ca.crt"  # in the same ConfigMap: trust anchor of the progress endpoint
CA_FILE: Final = f"{RUN_DIR}/{CA_KEY}"
CONFIG_DATASETS_DIR: Final = "/etc/fairlead/datasets"  # <dir>/<dataset>/ is a ConfigMap
PROGRESS_TOKEN_DIR: Final = "/var/run/secrets/fairlead.dev/progress"
PROGRESS_TOKEN_FILE: Final = f"{PROGRESS_TOKEN_DIR}/token"
PROGRESS_AUDIENCE: Final = "progress.fairlead.dev"  # audience of the projected token
TERMINATION_LOG: Final = "/dev/termination-log"  # Kubernetes' default terminationMessagePath
SCRATCH_DIR: Final = "/tmp"  # writable emptyDir; HOME lies in it

# --- Ports ---------------------------------------------------------------------------------
PORT_RENDEZVOUS: Final = 29500  # torchrun, rank 0
PORT_SERVE: Final = 8000  # vLLM and our middleware
PORT_SERVICE: Final = 80  # ModelServices' Services
PORT_METRICS: Final = 8080  # operator: /metrics
PORT_PROBES: Final = 8081  # operator: /healthz
PORT_PROGRESS: Final = 8443  # operator: KubeflowCallback's protocol, TLS

# --- Paths and commands of the server, on PORT_SERVE ---------------------------------------
PATH_STARTUP: Final = "/fairlead/startup"  # 200 once one real token was generated
PATH_READY: Final = "/fairlead/ready"  # 200 unless draining or stuck
PATH_LIVE: Final = "/fairlead/live"  # 200 while the engine makes progress
PATH_API: Final = "/v1"  # the OpenAI-compatible API: all that gateways route here
DRAIN_COMMAND: Final = ("python3", "-m", "fairlead_server", "drain")  # preStop, inside the pod

# --- Environment (written by the operator, read once by the container's settings) ----------
ENV_ATTEMPT: Final = "FAIRLEAD_ATTEMPT"  # decimal attempt number: the fencing token
ENV_ROOT: Final = "FAIRLEAD_ROOT"  # trainer by hand: container paths lie below this folder
ENV_SERVE_FILE: Final = "FAIRLEAD_SERVE_FILE"  # the serve file itself, as JSON
ENV_POD_UID: Final = "FAIRLEAD_POD_UID"
ENV_PROGRESS_URL: Final = "KUBEFLOW_TRAINER_SERVER_URL"  # transformers' KubeflowCallback
ENV_PROGRESS_CA: Final = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
ENV_PROGRESS_TOKEN: Final = "KUBEFLOW_TRAINER_SERVER_TOKEN"

# --- Containers ----------------------------------------------------------------------------
TRAINER_CONTAINER: Final = "trainer"  # the one container of every stage's pod

# --- Resources -----------------------------------------------------------------------------
GPU_RESOURCE: Final = "nvidia.com/gpu"


def run_config_name(job: str) -> str:
    """Name the ConfigMap that holds a FineTuneJob's run file."""
    return f"{job}-run"


def workers_service_name(job: str) -> str:
    """Name the headless Service that gives a FineTuneJob's workers their host names."""
    return f"{job}-workers"


def stage_job_name(job: str, stage: str, attempt: int) -> str:
    """Name the batch/v1 Job of one attempt of one stage."""
    return f"{job}-{stage.lower()}-a{attempt}"


def revision_name(service: str, revision: str) -> str:
    """Name the Deployment, Service and ControllerRevision of one revision of a ModelService."""
    return f"{service}-{revision}"


def progress_path(namespace: str, job: str) -> str:
    """Path of the progress endpoint for one FineTuneJob, as the operator routes it."""
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{FINETUNEJOB_PLURAL}/{job}/status"
