"""Every metric name and label of ours: dashboards, alerts and scalers must spell them alike.

Constants only. Counters are named without ``_total``: prometheus-client adds it.
"""

from typing import Final

# --- The operator (served on names.PORT_METRICS) -------------------------------------------
RECONCILES: Final = "fairlead_reconciles"  # counter: kind, outcome
RECONCILE_SECONDS: Final = "fairlead_reconcile_duration_seconds"  # histogram: kind
QUEUE_DEPTH: Final = "fairlead_queue_depth"  # gauge: keys that wait for a worker
QUEUE_AGE_SECONDS: Final = "fairlead_queue_oldest_age_seconds"  # gauge: the oldest of them
API_REQUESTS: Final = "fairlead_api_requests"  # counter: verb, resource, code
API_SECONDS: Final = "fairlead_api_request_duration_seconds"  # histogram: verb, resource
JOBS: Final = "fairlead_finetunejobs"  # gauge: phase; told by the leader
LEADER: Final = "fairlead_leader"  # gauge: 1 on the replica that reconciles
PROGRESS_REPORTS: Final = "fairlead_progress_reports"  # counter: code of the answer
PROGRESS_WRITES: Final = "fairlead_progress_writes"  # counter: outcome

# --- Of others, asked for by sensors --------------------------------------------------------
VLLM_REQUESTS: Final = "vllm:request_success_total"  # counter: finished_reason; by vLLM
GPU_UTILIZATION: Final = "DCGM_FI_DEV_GPU_UTIL"  # gauge, percent: gpu, Hostname; by dcgm-exporter

# --- Labels --------------------------------------------------------------------------------
LABEL_KIND: Final = "kind"  # FineTuneJob, ModelService
LABEL_OUTCOME: Final = "outcome"
LABEL_VERB: Final = "verb"  # get, list, create, patch, update, delete, discover
LABEL_RESOURCE: Final = "resource"  # plural
LABEL_CODE: Final = "code"  # HTTP code; 0 where there was no answer
LABEL_PHASE: Final = "phase"
LABEL_NAMESPACE: Final = "namespace"  # of the pod; set by who scrapes
LABEL_MODELSERVICE: Final = "fairlead_dev_modelservice"  # names.LABEL_MODELSERVICE, as scraped
