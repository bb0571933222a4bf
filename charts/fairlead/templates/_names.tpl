{{/* Every name, label and image of the chart stands here once. */}}

{{- define "fairlead.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "fairlead.operator" -}}
{{- include "fairlead.name" . }}-operator
{{- end -}}

{{/* Cluster-scoped objects carry the namespace, so that two releases never share one. */}}
{{- define "fairlead.clusterRole" -}}
{{- .Release.Namespace }}:{{ include "fairlead.operator" . }}
{{- end -}}

{{- define "fairlead.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* The pod of `helm test`, which the policy admits. */}}
{{- define "fairlead.testSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end -}}

{{- define "fairlead.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: fairlead
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Takes a list: the root and one of operator, trainer, server. */}}
{{- define "fairlead.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- if not $root.Values.image.registry -}}
{{- fail "image.registry is empty: set it to the registry that holds the images, e.g. the REGISTRY of `make images push`" -}}
{{- end -}}
{{- $reference := printf "%s/%s" $root.Values.image.registry $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $reference $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $reference ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "fairlead.gatewayName" -}}
{{- .Values.gateway.name | default (include "fairlead.name" .) -}}
{{- end -}}

{{- define "fairlead.gatewayNamespace" -}}
{{- if and .Values.gateway.create .Values.gateway.namespace (ne .Values.gateway.namespace .Release.Namespace) -}}
{{- fail (printf "gateway.namespace is %q, but a Gateway that the chart makes lies in the release's namespace: leave it empty, or set gateway.create=false to use one that exists" .Values.gateway.namespace) -}}
{{- end -}}
{{- .Values.gateway.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "fairlead.certificateSecret" -}}
{{- include "fairlead.operator" . }}-certificate
{{- end -}}

{{- define "fairlead.lease" -}}
{{- include "fairlead.operator" . }}
{{- end -}}

{{/* The operator refuses this too; here it is said before anything is changed. */}}
{{- define "fairlead.checkServing" -}}
{{- if le (int .Values.serving.progressDeadlineSeconds) (int .Values.serving.startupTimeoutSeconds) -}}
{{- fail (printf "serving.progressDeadlineSeconds is %d: set it above serving.startupTimeoutSeconds (%d), or a revision would count as failed while it may still start" (int .Values.serving.progressDeadlineSeconds) (int .Values.serving.startupTimeoutSeconds)) -}}
{{- end -}}
{{- end -}}
