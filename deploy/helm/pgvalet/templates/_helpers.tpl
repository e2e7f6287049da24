{{- define "pgvalet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "pgvalet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 56 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "pgvalet.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 56 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 56 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pgvalet.selector" -}}
app.kubernetes.io/name: {{ include "pgvalet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pgvalet.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "pgvalet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pgvalet.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "pgvalet.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "pgvalet.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "pgvalet.configMap" -}}
{{- default (include "pgvalet.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{- define "pgvalet.tokenSecret" -}}
{{- default (printf "%s-admin" (include "pgvalet.fullname" .)) .Values.admin.token.existingSecret -}}
{{- end -}}

{{/* A key of TOML: bare where it can be. */}}
{{- define "pgvalet.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* A value of YAML in TOML: what stands behind the equals sign. YAML's whole numbers arrive as fractions. */}}
{{- define "pgvalet.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $entries := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $entries = append $entries (printf "%s = %s" (include "pgvalet.toml.key" $key) (include "pgvalet.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{ {{ join ", " $entries }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "pgvalet.toml.value" $item }}{{ end }}]
{{- else if kindIs "string" . -}}
{{ toJson . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* The keys of a table, one a line. A key that is null is left out. */}}
{{- define "pgvalet.toml.keys" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ include "pgvalet.toml.key" $key }} = {{ include "pgvalet.toml.value" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{/* pgvalet.toml: what the values say, and over it what the chart has to know. */}}
{{- define "pgvalet.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $listen := dict
    "address" (list (printf "0.0.0.0:%d" (int .Values.ports.postgres)))
    "shutdown_timeout" (printf "%ds" (int .Values.shutdownTimeout)) -}}
{{- with .Values.tls.existingSecret -}}
{{- $listen = merge $listen (dict
    "tls" $.Values.tls.mode
    "certificate" "/etc/pgvalet/tls/tls.crt"
    "key" "/etc/pgvalet/tls/tls.key") -}}
{{- with $.Values.tls.clientCaKey -}}
{{- $_ := set $listen "client_ca" (printf "/etc/pgvalet/tls/%s" .) -}}
{{- end -}}
{{- end -}}
{{- $admin := dict
    "address" (printf "0.0.0.0:%d" (int .Values.ports.admin))
    "token_file" "/etc/pgvalet/admin/token" -}}
{{- $_ := set $config "listen" (merge $listen (default dict $config.listen)) -}}
{{- $store := default dict $config.store -}}
{{- if eq (default "embedded" $store.kind) "embedded" -}}
{{- $store = merge $store (dict "path" "/var/lib/pgvalet/store.db") -}}
{{- if not $store.key -}}
{{- $store = merge $store (dict "key_file" "/var/lib/pgvalet/store.key") -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "store" $store -}}
{{- $_ := set $config "admin" (merge $admin (default dict $config.admin)) -}}
{{- range $name, $table := $config }}
{{- if kindIs "invalid" $table }}
{{- else if kindIs "slice" $table }}
{{- range $table }}

[[{{ $name }}]]
{{- include "pgvalet.toml.keys" . }}
{{- end }}
{{- else if has $name (list "database" "secret") }}
{{- range $key, $inner := $table }}
{{- if not (kindIs "invalid" $inner) }}

[{{ $name }}.{{ include "pgvalet.toml.key" $key }}]
{{- include "pgvalet.toml.keys" $inner }}
{{- end }}
{{- end }}
{{- else if $table }}

[{{ $name }}]
{{- include "pgvalet.toml.keys" $table }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Fails at a key that pgvalet does not know: dict "at" its place, "value" what is written, "schema". */}}
{{- define "pgvalet.known" -}}
{{- $schema := .schema -}}
{{- $at := .at -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- $below := get (default dict $schema.properties) $key -}}
{{- if and (not $below) (kindIs "map" $schema.additionalProperties) -}}
{{- $below = $schema.additionalProperties -}}
{{- end -}}
{{- if $below -}}
{{- include "pgvalet.known" (dict "at" (printf "%s.%s" $at $key) "value" $value "schema" $below) -}}
{{- else if $schema.properties -}}
{{- fail (printf "%s has no key %s; there are %s" $at $key (keys $schema.properties | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- else if and (kindIs "slice" .value) $schema.items -}}
{{- range .value -}}
{{- include "pgvalet.known" (dict "at" $at "value" . "schema" $schema.items) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What would start, and not work. */}}
{{- define "pgvalet.check" -}}
{{- if not .Values.existingConfigMap -}}
{{- include "pgvalet.known" (dict "at" "config" "value" .Values.config "schema" (.Files.Get "files/schema.json" | fromJson)) -}}
{{- if not .Values.config.database -}}
{{- fail "config.database is empty: name a database that clients may ask for, such as --set config.database.orders.secret=prod/orders" -}}
{{- end -}}
{{- if not .Values.config.client -}}
{{- fail "config.client is empty: nobody would be let in; add a rule with name, databases and a condition" -}}
{{- end -}}
{{- $kind := default "embedded" (default dict .Values.config.store).kind -}}
{{- $many := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}
{{- if and (eq $kind "embedded") (eq .Values.kind "Deployment") $many -}}
{{- fail "config.store.kind is embedded, and replicas would each have a store of their own: set replicas to 1, or kind to StatefulSet, or name another store" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.persistence.enabled (eq .Values.kind "Deployment") -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}
{{- fail "persistence with kind Deployment is for one replica; set kind to StatefulSet, so that each replica has a volume" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (not (kindIs "invalid" .Values.podDisruptionBudget.minAvailable)) (not (kindIs "invalid" .Values.podDisruptionBudget.maxUnavailable)) -}}
{{- fail "podDisruptionBudget has minAvailable and maxUnavailable; set one of them to null" -}}
{{- end -}}
{{- end -}}
