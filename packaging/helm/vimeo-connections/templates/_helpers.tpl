{{- define "vimeo-connections.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "vimeo-connections.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vimeo-connections.labels" -}}
{{ include "vimeo-connections.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What no schema can say. */}}
{{- define "vimeo-connections.check" -}}
{{- if not .Values.keyring.existingSecret }}
{{- fail "keyring.existingSecret is required. Create it once, and back it up:\n  vimeo-connections init && kubectl create secret generic vimeo-connections-keyring --from-file=keyring=vimeo-connections.keyring\nthen set keyring.existingSecret=vimeo-connections-keyring" }}
{{- end }}
{{- if and (eq .Values.database.kind "postgresql") (not .Values.database.postgresql.existingSecret) }}
{{- fail "database.postgresql.existingSecret is required: a Secret with the URL of the database in the key `url`" }}
{{- end }}
{{- if and .Values.bootstrap.account (not .Values.bootstrap.existingSecret) }}
{{- fail "bootstrap.existingSecret is required with bootstrap.account: a Secret with the API key" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.host is required with ingress.enabled" }}
{{- end }}
{{- end }}
