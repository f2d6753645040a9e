{{/* A volume of the pod's own: dict "root" $ "name" "segments" "size" "10Gi" */}}
{{- define "narrator.volume" -}}
- name: {{ .name }}
{{- if eq .root.Values.volumes.kind "node" }}
  emptyDir:
    sizeLimit: {{ .size }}
{{- else }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .root.Values.volumes.class }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ .size }}
{{- end }}
{{- end }}

{{/* The template of every pod that narrates. */}}
{{- define "narrator.pod" -}}
{{- $deployed := eq .Values.workload "deployment" -}}
metadata:
  annotations:
    checksum/config: {{ include "narrator.config" . | sha256sum }}
  labels:
    {{- include "narrator.selector" (dict "of" "narrator" "root" .) | nindent 4 }}
spec:
  {{- if not $deployed }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ include "narrator.name" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
  # Variables of a service called "narrator" would look like settings, and be refused as unknown.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "narrator.patience" . }}
  securityContext:
    {{- include "narrator.podSecurity" . | nindent 4 }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "narrator.selector" (dict "of" "narrator" "root" $) | nindent 10 }}
    {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: narrator
      image: {{ include "narrator.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run{{ if not $deployed }}, --drain{{ end }}, --config, /etc/narrator/config.toml]
      env:
        - name: NARRATOR_DAEMON__WORKER_ID
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        # Below their volumes, which belong to root: the daemon wants folders of its own.
        - name: NARRATOR_DAEMON__STATE_DIR
          value: /run/narrator-daemon/state
        - name: NARRATOR_KEPT__FOLDER
          value: /var/cache/narrator-daemon/segments
        {{- if .Values.secrets.serviceAccountKey }}
        - name: NARRATOR_FIREBASE__CREDENTIALS
          value: /run/secrets/narrator/service-account.json
        {{- end }}
        - name: NARRATOR_WATERMARK__KEY_FILE
          value: /run/secrets/narrator/watermark.key
        - name: NARRATOR_METRICS__PORT
          value: "9464"
        - name: NARRATOR_METRICS__HOST
          value: 0.0.0.0
        - name: HF_HOME
          value: /models
        - name: HF_TOKEN
          valueFrom:
            secretKeyRef:
              name: {{ .Values.secrets.hub }}
              key: token
              optional: true
      ports:
        - name: metrics
          containerPort: 9464
      resources:
        requests:
          ephemeral-storage: {{ .Values.volumes.ephemeral }}
          {{- toYaml .Values.resources.requests | nindent 10 }}
        limits:
          ephemeral-storage: {{ .Values.volumes.ephemeral }}
          {{- toYaml .Values.resources.limits | nindent 10 }}
      securityContext:
        {{- include "narrator.containerSecurity" . | nindent 8 }}
      # It lives when its loop runs, whether or not the model has come and Firebase answers.
      startupProbe:
        exec:
          command: [narrator-daemon, health, --live]
        periodSeconds: 5
        timeoutSeconds: 10
        failureThreshold: 24
      livenessProbe:
        exec:
          command: [narrator-daemon, health, --live]
        periodSeconds: 30
        timeoutSeconds: 10
        failureThreshold: 3
      {{- if $deployed }}
      readinessProbe:
        exec:
          command: [narrator-daemon, health, --ready]
        periodSeconds: 30
        timeoutSeconds: 10
      {{- end }}
      volumeMounts:
        - name: config
          mountPath: /etc/narrator
          readOnly: true
        - name: secrets
          mountPath: /run/secrets/narrator
          readOnly: true
        - name: state
          mountPath: /run/narrator-daemon
        - name: segments
          mountPath: /var/cache/narrator-daemon
        - name: scratch
          mountPath: /tmp
        - name: models
          mountPath: /models
  volumes:
    - name: config
      configMap:
        name: {{ include "narrator.name" . }}
    - name: secrets
      secret:
        secretName: {{ .Values.secrets.name }}
        defaultMode: 0440
    - name: state
      emptyDir:
        sizeLimit: 16Mi
    {{- include "narrator.volume" (dict "root" . "name" "segments" "size" .Values.volumes.segments) | nindent 4 }}
    - name: scratch
      emptyDir:
        sizeLimit: {{ .Values.volumes.scratch }}
    {{- if .Values.volumes.sharedModels.enabled }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ include "narrator.name" . }}-models
    {{- else }}
    {{- include "narrator.volume" (dict "root" . "name" "models" "size" .Values.volumes.models) | nindent 4 }}
    {{- end }}
{{- end }}
