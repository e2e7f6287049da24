{{/* The template of a pod, of a Deployment or a StatefulSet. */}}
{{- define "pgvalet.pod" -}}
metadata:
  labels:
    {{- include "pgvalet.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: pgvalet
    {{- if not .Values.existingConfigMap }}
    # Another configuration is another pod: new ones start with it before old ones stop.
    checksum/config: {{ include "pgvalet.toml" . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "pgvalet.serviceAccount" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
  # preStop, then transactions, then goodbyes to Postgres and the end of the audit log.
  terminationGracePeriodSeconds: {{ add (int .Values.preStopSeconds) (int .Values.shutdownTimeout) 15 }}
  securityContext: {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" "schedulerName" "hostAliases" "dnsPolicy" "dnsConfig" "initContainers" }}
  {{- with get $.Values $key }}
  {{ $key }}: {{- if kindIs "string" . }} {{ . }}{{ else }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- end }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "pgvalet.selector" $ | nindent 10 }}
    {{- end }}
    {{- end }}
  containers:
    - name: pgvalet
      image: {{ include "pgvalet.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - run
        - --config
        - /etc/pgvalet/pgvalet.toml
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnv }}
      env: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: postgres
          containerPort: {{ .Values.ports.postgres }}
        - name: admin
          containerPort: {{ .Values.ports.admin }}
      {{- range $probe, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
      {{- with get $.Values $probe }}
      {{ $probe }}:
        httpGet:
          path: {{ $path }}
          port: admin
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .Values.preStopSeconds }}
      securityContext: {{- toYaml .Values.securityContext | nindent 8 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/pgvalet/pgvalet.toml
          subPath: pgvalet.toml
          readOnly: true
        - name: admin-token
          mountPath: /etc/pgvalet/admin
          readOnly: true
        - name: data
          mountPath: /var/lib/pgvalet
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /etc/pgvalet/tls
          readOnly: true
        {{- end }}
        {{- range .Values.secretMounts }}
        - name: mount-{{ .name }}
          mountPath: /etc/pgvalet/mounts/{{ .name }}
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "pgvalet.configMap" . }}
    - name: admin-token
      secret:
        secretName: {{ include "pgvalet.tokenSecret" . }}
        defaultMode: 0440
        items:
          - key: {{ .Values.admin.token.key }}
            path: token
    {{- if and .Values.persistence.enabled (eq .Values.kind "Deployment") }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-data" (include "pgvalet.fullname" .)) .Values.persistence.existingClaim }}
    {{- else if not .Values.persistence.enabled }}
    - name: data
      emptyDir: {}
    {{- end }}
    {{- with .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        # A private key that other users can read is refused.
        defaultMode: 0440
    {{- end }}
    {{- range .Values.secretMounts }}
    - name: mount-{{ .name }}
      secret:
        secretName: {{ .secretName }}
        defaultMode: {{ default 288 .defaultMode }}
        {{- with .items }}
        items: {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .optional }}
        optional: {{ . }}
        {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
