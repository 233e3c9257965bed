{{/* Labels of every object; what selects pods is beside them and never changes. */}}
{{- define "latchkey.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "latchkey.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else if .tag }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* Namespaces that are never asked about. */}}
{{- define "latchkey.exempt" -}}
{{- concat (list "kube-system" .Release.Namespace) (.Values.exemptNamespaces | default list) | uniq | toJson }}
{{- end }}

{{/* The file webhook.yaml. */}}
{{- define "latchkey.settings" -}}
{{- $settings := deepCopy .Values.settings }}
{{- if not $settings.sidecar.image }}{{ $_ := unset $settings.sidecar "image" }}{{ end }}
{{- with $settings.certificates }}
{{- /* The others are of certificates that the webhook makes itself, and it refuses what it would not use. */}}
{{- if eq "files" (.issuer | default "self") }}{{ $_ := set $settings "certificates" (pick . "issuer" "cert" "key" "broker-ca") }}{{ end }}
{{- end }}
{{- $_ := set $settings "broker" (printf "latchkey-broker.%s.svc:24443" .Release.Namespace) }}
{{- $_ := set $settings "exempt-namespaces" (.Values.exemptNamespaces | default list) }}
{{- toYaml $settings }}
{{- end }}

{{/* What both Deployments say of their pods. Given a dict of root and component. */}}
{{- define "latchkey.pod" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: latchkey-{{ .component }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
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

{{/*
How pods give way to their successors: a claim that the former still has would keep the next from
starting. Given a dict of root and component.
*/}}
{{- define "latchkey.strategy" -}}
{{- $values := index .root.Values .component -}}
{{- if and $values.auditVolume $values.auditVolume.persistentVolumeClaim -}}
{{- if ne 1 (int $values.replicas) }}
{{- fail (printf "%s.auditVolume is one claim, and each of the %d replicas would write the same file in it: set %s.replicas to 1, or use { ephemeral: { volumeClaimTemplate: … } }" .component (int $values.replicas) .component) }}
{{- end -}}
type: Recreate
{{- else -}}
rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
{{- end }}
{{- end }}

{{/* The volume that keeps the audit. */}}
{{- define "latchkey.audit" -}}
- name: audit
  {{- if .auditVolume }}
  {{- toYaml .auditVolume | nindent 2 }}
  {{- else }}
  emptyDir: { {{- with .auditSize }} sizeLimit: {{ . | quote }} {{ end -}} }
  {{- end }}
{{- end }}
