#!/bin/sh
# Make the Secrets that the manifests name; what is there is kept, so it may be run again.
#
#   charts/airflow/secrets.sh [kubectl's flags]
#
# Connections come from the environment: each variable AIRFLOW_CONN_… goes into the Secret
# airflow-connections as it stands, in one line (this one is written anew each time). Without an
# AIRFLOW_CONN_FAIRLEAD_DEFAULT tasks use their pod's own account, in namespace $TEAM (units).
set -eu
namespace="${NAMESPACE:-airflow}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 700 "$scratch"

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
# Only an answer tells that there is none: without one the script ends.
is_there() {
    found=$(kubectl "$@" -n "$namespace" get secret "$name" --ignore-not-found -o name) || exit
    [ -n "$found" ]
}
make() { kubectl "$@" -n "$namespace" create secret generic "$name" --from-env-file="$scratch/$name"; }

name=airflow-postgres
if ! is_there "$@"; then
    password=$(random | tr -d '=_-')
    printf 'POSTGRES_USER=airflow\nPOSTGRES_DB=airflow\nPOSTGRES_PASSWORD=%s\n' "$password" \
        >"$scratch/$name"
    make "$@"
fi

name=airflow-core
if ! is_there "$@"; then
    encoded=$(kubectl "$@" -n "$namespace" get secret airflow-postgres \
        -o 'jsonpath={.data.POSTGRES_PASSWORD}')
    password=$(printf '%s' "$encoded" | base64 -d)
    {
        printf 'AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=%s\n' \
            "postgresql+psycopg2://airflow:$password@airflow-postgres:5432/airflow"
        printf 'AIRFLOW__CORE__FERNET_KEY=%s\n' "$(random)"
        printf 'AIRFLOW__API__SECRET_KEY=%s\n' "$(random)"
        printf 'AIRFLOW__API_AUTH__JWT_SECRET=%s\n' "$(random)"
    } >"$scratch/$name"
    make "$@"
fi

name=airflow-login
if ! is_there "$@"; then
    printf '{"admin": "%s"}\n' "$(random | cut -c 1-20)" >"$scratch/passwords.json"
    kubectl "$@" -n "$namespace" create secret generic "$name" \
        --from-file="$scratch/passwords.json"
fi

name=airflow-connections
if [ -z "${AIRFLOW_CONN_FAIRLEAD_DEFAULT:-}" ]; then
    AIRFLOW_CONN_FAIRLEAD_DEFAULT=$(printf \
        '{"conn_type": "fairlead", "extra": {"in_cluster": true, "namespace": "%s"}}' \
        "${TEAM:-units}")
fi
export AIRFLOW_CONN_FAIRLEAD_DEFAULT
newline='
'
for variable in $(env | sed -n 's/^\(AIRFLOW_CONN_[A-Za-z0-9_]*\)=.*/\1/p'); do
    eval "value=\${$variable-}"
    case "$value" in
    *"$newline"*)
        echo "$variable: has several lines, which kubectl can't take: write it in one" >&2
        exit 1
        ;;
    esac
    printf '%s=%s\n' "$variable" "$value"
done >"$scratch/$name"
kubectl "$@" -n "$namespace" create secret generic "$name" --from-env-file="$scratch/$name" \
    --dry-run=client -o yaml | kubectl "$@" -n "$namespace" apply -f -
