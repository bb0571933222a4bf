"""What Airflow is told of this package; read from the entry point without importing the rest."""

from typing import Any, Final

PACKAGE: Final = "airflow-provider-fairlead"
PLUGIN: Final = "fairlead_airflow.plugin.FairleadPlugin"
LINKS: Final = ("fairlead_airflow.links.ResourceLink", "fairlead_airflow.links.ReportLink")
CONNECTION_TYPE: Final = "fairlead"
HOOK: Final = "fairlead_airflow.hooks.FairleadHook"
NOTIFIER: Final = "fairlead_airflow.notifier.FairleadNotifier"
_TEXT: Final = {"type": ["string", "null"]}


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, by Airflow's provider_info.schema.json."""
    return {
        "package-name": PACKAGE,
        "name": "Fairlead",
        "description": "Fine-tunes and serves language models on Kubernetes.",
        "extra-links": list(LINKS),
        "plugins": [{"name": "fairlead", "plugin-class": PLUGIN}],
        "notifications": [NOTIFIER],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": HOOK,
                "hook-name": "Fairlead",
                "conn-fields": _fields(),
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "schema", "login", "password", "port", "extra"],
                },
            }
        ],
    }


def _fields() -> dict[str, Any]:
    """Fields of the connection form; all but the last are the cncf provider's too."""
    return {
        "in_cluster": {
            "label": "In cluster",
            "schema": {"type": ["boolean", "null"]},
            "description": "Airflow runs in the cluster: use its pods' service account.",
        },
        "kube_config_path": {
            "label": "Kubeconfig path",
            "schema": _TEXT,
            "description": "A file on every worker and triggerer; empty: $KUBECONFIG.",
        },
        "kube_config": {
            "label": "Kubeconfig",
            "schema": _TEXT | {"format": "password"},
            "description": "The file's content, as JSON or YAML.",
        },
        "cluster_context": {"label": "Context", "schema": _TEXT},
        "namespace": {
            "label": "Namespace",
            "schema": _TEXT,
            "description": "Where resources are made that name none; empty: default.",
        },
        "gateway_address": {
            "label": "Gateway address",
            "schema": _TEXT,
            "description": "http://ADDRESS[:PORT]; needed where DNS doesn't know the services.",
        },
    }
