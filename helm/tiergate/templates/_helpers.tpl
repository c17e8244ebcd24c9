{{/* Names, labels and the parts that several objects share. Cuts names to what the longest suffix leaves of 63. */}}

{{- define "tiergate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "tiergate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "tiergate.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tiergate.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Takes `root` and `component`: what selects the pods of one part. Never changes between releases. */}}
{{- define "tiergate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tiergate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Takes `root` and `component`: the labels of every object. Common labels cannot change what selects. */}}
{{- define "tiergate.labels" -}}
{{- $own := fromYaml (include "tiergate.selectorLabels" .) -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "tiergate" -}}
{{- $_ := set $own "helm.sh/chart" (include "tiergate.chart" .root) -}}
{{- toYaml (merge $own (deepCopy .root.Values.commonLabels)) -}}
{{- end -}}

{{/* Takes `root` and `annotations`, a dict: the annotations of an object with their key, where there are any. */}}
{{- define "tiergate.annotations" -}}
{{- with merge (dict) (default (dict) .annotations) (deepCopy .root.Values.commonAnnotations) -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Takes `root` and `image`: the reference of an image; its digest stands before its tag. */}}
{{- define "tiergate.imageReference" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The image of the control plane, the jobs and the injector. */}}
{{- define "tiergate.image" -}}
{{- include "tiergate.imageReference" (dict "root" . "image" .Values.image) -}}
{{- end -}}

{{/* What every container is confined by: `restricted` of the pod security standards, and no writing to its root. */}}
{{- define "tiergate.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Takes `more`, what the values say of a pod's security context: its containers', which run as the same user. */}}
{{- define "tiergate.containerSecurityContextAs" -}}
{{- $own := fromYaml (include "tiergate.containerSecurityContext" .) -}}
{{- toYaml (mergeOverwrite $own (pick .more "runAsUser" "runAsGroup")) -}}
{{- end -}}

{{/* Takes `root` and, optionally, `more`: what every pod is confined by. */}}
{{- define "tiergate.podSecurityContext" -}}
{{- $own := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 -}}
{{- $_ := set $own "fsGroupChangePolicy" "OnRootMismatch" -}}
{{- $_ := set $own "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $own (deepCopy (default (dict) .more))) -}}
{{- end -}}

{{/* A volume with what a client of the API server needs, for pods that mount no default token. */}}
{{- define "tiergate.apiAccessVolume" -}}
name: kubernetes-api
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3600}
    - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
    - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}

{{- define "tiergate.controlPlane.fullname" -}}
{{- printf "%s-control-plane" (include "tiergate.fullname" .) -}}
{{- end -}}

{{- define "tiergate.controlPlane.serviceAccountName" -}}
{{- if .Values.controlPlane.serviceAccount.create -}}
{{- default (include "tiergate.controlPlane.fullname" .) .Values.controlPlane.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.controlPlane.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tiergate.controlPlane.scheme" -}}
{{- if eq .Values.controlPlane.tls.mode "disabled" -}}http{{- else -}}https{{- end -}}
{{- end -}}

{{/* Where the control plane of this release is, from everywhere in the cluster. */}}
{{- define "tiergate.controlPlane.url" -}}
{{- $host := printf "%s.%s.svc" (include "tiergate.controlPlane.fullname" .) .Release.Namespace -}}
{{- printf "%s://%s:%d" (include "tiergate.controlPlane.scheme" .) $host (int .Values.controlPlane.service.port) -}}
{{- end -}}

{{- define "tiergate.controlPlane.tlsSecretName" -}}
{{- if eq .Values.controlPlane.tls.mode "certManager" -}}
{{- printf "%s-tls" (include "tiergate.controlPlane.fullname" .) -}}
{{- else -}}
{{- .Values.controlPlane.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the signing key and its public half. */}}
{{- define "tiergate.signingKey.secretName" -}}
{{- default (printf "%s-signing-key" (include "tiergate.fullname" .)) .Values.controlPlane.signingKey.existingSecret -}}
{{- end -}}

{{/* The Secret with the first admin's API key. */}}
{{- define "tiergate.adminKey.secretName" -}}
{{- default (printf "%s-admin-key" (include "tiergate.fullname" .)) .Values.controlPlane.bootstrap.existingSecret -}}
{{- end -}}

{{/* Not empty, where the Job that makes Secrets has something to make. */}}
{{- define "tiergate.secretsJob.needed" -}}
{{- $plane := .Values.controlPlane -}}
{{- if and $plane.enabled $plane.secretsJob.enabled -}}
{{- if or (not $plane.signingKey.existingSecret) (and $plane.bootstrap.enabled (not $plane.bootstrap.existingSecret)) -}}
needed
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not empty, where there may be several replicas at a time. */}}
{{- define "tiergate.controlPlane.several" -}}
{{- if or .Values.controlPlane.autoscaling.enabled (gt (int .Values.controlPlane.replicas) 1) -}}several{{- end -}}
{{- end -}}

{{/* The service accounts that may follow as sidecars, a JSON list of `namespace:name`. */}}
{{- define "tiergate.sidecarServiceAccounts" -}}
{{- $all := .Values.controlPlane.issuers.kubernetes.sidecars -}}
{{- if .Values.daemonset.enabled -}}
{{- $all = append $all (printf "%s:%s-daemonset" .Release.Namespace (include "tiergate.fullname" .)) -}}
{{- end -}}
{{- toJson (sortAlpha (uniq $all)) -}}
{{- end -}}
