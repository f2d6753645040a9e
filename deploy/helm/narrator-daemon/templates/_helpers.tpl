{{- define "narrator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "narrator.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What selects pods; of a component: dict "of" "narrator" "root" $ */}}
{{- define "narrator.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .of }}
{{- end }}

{{- define "narrator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "narrator.config" -}}
{{- $each := .Values.config.firebase | default dict -}}
{{- if not (kindIs "slice" $each) }}{{ $each = list $each }}{{ end -}}
{{- range $firebase := $each -}}
{{- range list "project_id" "database_url" "storage_bucket" -}}
{{- $_ := required (printf "config.firebase.%s is required" .) (get $firebase .) -}}
{{- end -}}
{{- end -}}
{{ toToml .Values.config }}
{{- end }}

{{/* daemon.grace_seconds, and the farewell after it. */}}
{{- define "narrator.patience" -}}
{{- $daemon := .Values.config.daemon | default dict -}}
{{- $grace := 30 -}}
{{- if hasKey $daemon "grace_seconds" }}{{ $grace = $daemon.grace_seconds }}{{ end -}}
{{- add (ceil $grace | int) 45 -}}
{{- end }}

{{- define "narrator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "narrator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What every pod may reach. */}}
{{- define "narrator.egress" -}}
- to:
    - namespaceSelector: {}
      podSelector:
        matchLabels:
          k8s-app: kube-dns
    # Where a cache on each node answers.
    - ipBlock:
        cidr: 169.254.20.10/32
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
# Google's addresses are many and change.
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [169.254.0.0/16]
    - ipBlock:
        cidr: ::/0
  ports:
    - port: 443
# Workload identity.
- to:
    - ipBlock:
        cidr: 169.254.169.252/30
  ports:
    - port: 80
    - port: 988
{{- with .Values.networkPolicy.egress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "narrator.jobPolicy" -}}
backoffLimit: 3
# A configuration that is refused (2) will be refused again; a pod that lost its node costs nothing.
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes:
        containerName: narrator
        operator: In
        values: [2]
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
{{- end }}
