{{/* Labels of every object; what selects pods is beside them and never changes. */}}
{{- define "latchkey.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "latchkey.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else if .tag }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* Namespaces that are never asked about. */}}
{{- define "latchkey.exempt" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.exemptNamespaces | uniq | toJson }}
{{- end }}

{{/* The file webhook.yaml. */}}
{{- define "latchkey.settings" -}}
{{- $settings := deepCopy .Values.settings }}
{{- if not $settings.sidecar.image }}{{ $_ := unset $settings.sidecar "image" }}{{ end }}
{{- $_ := set $settings "broker" (printf "latchkey-broker.%s.svc:24443" .Release.Namespace) }}
{{- $_ := set $settings "exempt-namespaces" .Values.exemptNamespaces }}
{{- toYaml $settings }}
{{- end }}

{{/* What both Deployments say of their pods. Given a dict of root and component. */}}
{{- define "latchkey.pod" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: latchkey-{{ .component }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .root.Values.runAs }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  fsGroup: {{ int64 . }}
  {{- end }}
  seccompProfile: { type: RuntimeDefault }
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        app.kubernetes.io/name: latchkey
        app.kubernetes.io/component: {{ $.component }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{/* What both containers have in common. Given a dict of root and component. */}}
{{- define "latchkey.container" -}}
{{- $values := index .root.Values .component -}}
image: {{ include "latchkey.image" .root | quote }}
{{- with .root.Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
command: [latchkey-{{ .component }}]
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 2
livenessProbe:
  httpGet: { path: /livez, port: metrics }
  periodSeconds: 10
  failureThreshold: 6
resources: {{ toJson $values.resources }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
ports:
  - { name: {{ .component }}, containerPort: 8443 }
  - { name: metrics, containerPort: 9090 }
{{- end }}

{{/* The volume that keeps the audit. */}}
{{- define "latchkey.audit" -}}
- name: audit
  {{- if .auditVolume }}
  {{- toYaml .auditVolume | nindent 2 }}
  {{- else }}
  emptyDir: { sizeLimit: {{ .auditSize }} }
  {{- end }}
{{- end }}
