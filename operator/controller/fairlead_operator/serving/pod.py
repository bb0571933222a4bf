"""The pod template of a revision: everything that its hash is taken over."""

from typing import Final

from fairlead_api import names, uris
from fairlead_api.modelservice import ModelService, PinnedModel
from fairlead_api.servefile import ServeFile
from fairlead_operator.plan import Manifest
from fairlead_operator.serving import arguments
from fairlead_operator.serving.options import Options

CONTAINER: Final = "server"
PORT_NAME: Final = "http"
_USER: Final = 65532
_HOME: Final = f"{names.SCRATCH_DIR}/home"
_SHM: Final = "/dev/shm"
_STARTUP_PERIOD_SECONDS: Final = 5
# Beyond both drains: preStop's own start, and the engine's end once nothing runs any more.
_GRACE_MARGIN_SECONDS: Final = 30


def template(service: ModelService, model: PinnedModel, options: Options) -> Manifest:
    """The pod template, without the revision's own label; raises ArgumentRefused."""
    restarted_at = service.metadata.annotations.get(names.ANNOTATION_RESTARTED_AT)
    metadata: Manifest = {
        "labels": {
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_MODELSERVICE: service.metadata.name,
        }
    }
    if restarted_at is not None:
        metadata["annotations"] = {names.ANNOTATION_RESTARTED_AT: restarted_at}
    return {"metadata": metadata, "spec": _spec(service, model, options)}


def _spec(service: ModelService, model: PinnedModel, options: Options) -> Manifest:
    claim = uris.parse(model.uri).claim
    spec: Manifest = {
        "automountServiceAccountToken": False,
        # A Service named vllm would otherwise set VLLM_PORT.
        "enableServiceLinks": False,
        # The hook drains, then the engine drains again by its own timeout: each may take the whole
        # of drain_seconds, and the kubelet counts from before the hook.
        "terminationGracePeriodSeconds": 2 * options.drain_seconds + _GRACE_MARGIN_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [_spread(service)],
        "containers": [_container(service, model, options)],
        "volumes": [
            {"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": options.shared_memory}},
        ],
    }
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if service.spec.resources.amount(names.GPU_RESOURCE):
        spec["tolerations"] = [
            {"key": names.GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}
        ]
    return spec


def _spread(service: ModelService) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {names.LABEL_MODELSERVICE: service.metadata.name}},
        "matchLabelKeys": ["pod-template-hash"],  # replicas of one revision, apart from another's
    }


def _container(service: ModelService, model: PinnedModel, options: Options) -> Manifest:
    claim_mount = str(uris.claim_mount(uris.parse(model.uri).claim))
    container: Manifest = {
        "name": CONTAINER,
        "image": options.image,
        "imagePullPolicy": options.image_pull_policy,
        "env": _environment(service, model, options),
        "ports": [{"name": PORT_NAME, "containerPort": names.PORT_SERVE, "protocol": "TCP"}],
        **_probes(options),
        "lifecycle": {"preStop": {"exec": {"command": list(names.DRAIN_COMMAND)}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "model", "mountPath": claim_mount, "readOnly": True},
            {"name": "scratch", "mountPath": names.SCRATCH_DIR},
            {"name": "shm", "mountPath": _SHM},
        ],
    }
    resources = service.spec.resources.model_dump(mode="json", exclude_defaults=True)
    return container | ({"resources": resources} if resources else {})


def _environment(service: ModelService, model: PinnedModel, options: Options) -> list[Manifest]:
    values = {
        names.ENV_SERVE_FILE: serve_file(service, model, options).model_dump_json(by_alias=True),
        "HOME": _HOME,
        "USER": "fairlead",  # the image's passwd file may not know our uid; torch asks for a name
        # Nothing is fetched, nothing is reported.
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if not service.spec.resources.amount(names.GPU_RESOURCE):
        values["VLLM_CPU_KVCACHE_SPACE"] = str(options.cpu_kv_cache_gib)
        # Left to itself vLLM binds to the first cores it sees, so all pods of a node to the same.
        values["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        # It would give its one worker a process of its own, to bind that: half as much work
        # again until Ready, 0.9 GB, and two readers that spin between tokens.
        values["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        # It would also start a thread for each core of the node, whatever the pod may use of them.
        if service.spec.resources.cpus:
            values["OMP_NUM_THREADS"] = str(service.spec.resources.threads())
    return [{"name": name, "value": value} for name, value in values.items()]


def serve_file(service: ModelService, model: PinnedModel, options: Options) -> ServeFile:
    """What the server is told; raises ArgumentRefused."""
    spec, own_name = service.spec, service.metadata.name
    served_name = spec.served_model_name or own_name
    return ServeFile(
        model_uri=model.uri,
        artifact_digest=model.artifact.digest if model.artifact else "",
        served_model_name=served_name,
        aliases=() if served_name == own_name else (own_name,),
        engine_args=arguments.engine_arguments(spec, options.allowed_arguments),
        limits=spec.limits,
        drain_seconds=options.drain_seconds,
    )


def _probes(options: Options) -> Manifest:
    return {
        "startupProbe": _probe(names.PATH_STARTUP)
        | {
            "periodSeconds": _STARTUP_PERIOD_SECONDS,
            # The server answers at once or not at all, but its first token may take a while.
            "timeoutSeconds": _STARTUP_PERIOD_SECONDS,
            "failureThreshold": options.startup_timeout_seconds // _STARTUP_PERIOD_SECONDS,
        },
        "readinessProbe": _probe(names.PATH_READY)
        | {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 2},
        "livenessProbe": _probe(names.PATH_LIVE)
        | {"periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 3},
    }


def _probe(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": PORT_NAME}}
