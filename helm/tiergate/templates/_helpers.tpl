{{/*
Names, labels and the parts that several objects share. A name that is too long for the longest suffix (63 characters
in all) is cut, and ends with a digest of the whole, so that two long names stay different.
*/}}

{{- define "tiergate.cut" -}}
{{- if gt (len .) 40 -}}
{{- printf "%s-%s" (trunc 33 . | trimSuffix "-") (sha256sum . | trunc 6) -}}
{{- else -}}
{{- trimSuffix "-" . -}}
{{- end -}}
{{- end -}}

{{- define "tiergate.name" -}}
{{- include "tiergate.cut" (default .Chart.Name .Values.nameOverride) -}}
{{- end -}}

{{/* The namespace of all objects: the release's, unless the values name another. */}}
{{- define "tiergate.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "tiergate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "tiergate.cut" .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "tiergate.name" . -}}
{{- if contains $name .Release.Name -}}
{{- include "tiergate.cut" .Release.Name -}}
{{- else -}}
{{- include "tiergate.cut" (printf "%s-%s" .Release.Name $name) -}}
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

{{/* The address that a process listens on: every one of the cluster's families. */}}
{{- define "tiergate.everyAddress" -}}
{{- ternary "0.0.0.0" "::" (eq .Values.ipFamily "IPv4") -}}
{{- end -}}

{{/* Takes `root` and `image`: the reference of an image; its digest stands before its tag. */}}
{{- define "tiergate.imageReference" -}}
{{- $name := .image.repository -}}
{{- with default (default (dict) .root.Values.global).imageRegistry .image.registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The image of the control plane, the jobs and the injector. */}}
{{- define "tiergate.image" -}}
{{- include "tiergate.imageReference" (dict "root" . "image" .Values.image) -}}
{{- end -}}

{{/* The Secrets to pull images with, under their key: those of the chart, and those of all charts of a release. */}}
{{- define "tiergate.imagePullSecrets" -}}
{{- with uniq (concat .Values.imagePullSecrets (default (list) (default (dict) .Values.global).imagePullSecrets)) -}}
imagePullSecrets:
  {{- range . }}
  - {{ ternary (dict "name" .) . (kindIs "string" .) | toJson }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Not empty, where OpenShift chooses the users of pods, so that no pod may name one. */}}
{{- define "tiergate.openshift" -}}
{{- $adapt := .Values.openshift.adaptSecurityContext -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
openshift
{{- end -}}
{{- end -}}

{{/* Takes `root`, `own` and `more`: a security context, with what the values say; what they say is null is left out. */}}
{{- define "tiergate.securityContext" -}}
{{- $context := .own -}}
{{- if include "tiergate.openshift" .root -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" "fsGroupChangePolicy" -}}
{{- end -}}
{{- range $key, $value := default (dict) .more -}}
{{- if kindIs "invalid" $value -}}
{{- $context = omit $context $key -}}
{{- else -}}
{{- $_ := set $context $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/*
Takes `root` and, optionally, `more`: what every container is confined by: `restricted` of the pod security standards,
and no writing to its root. The control plane's containers follow their pod in user and group.
*/}}
{{- define "tiergate.containerSecurityContext" -}}
{{- $own := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "runAsNonRoot" true -}}
{{- $own = merge $own (dict "runAsUser" 65532 "runAsGroup" 65532) -}}
{{- $own = merge $own (dict "capabilities" (dict "drop" (list "ALL")) "seccompProfile" (dict "type" "RuntimeDefault")) -}}
{{- include "tiergate.securityContext" (dict "root" .root "own" $own "more" .more) -}}
{{- end -}}

{{/* Takes `root` and `more`, what the values say of a pod's security context: its containers', who run as the same. */}}
{{- define "tiergate.containerSecurityContextAs" -}}
{{- include "tiergate.containerSecurityContext" (dict "root" .root "more" (pick .more "runAsUser" "runAsGroup")) -}}
{{- end -}}

{{/* Takes `root` and, optionally, `more`: what every pod is confined by. */}}
{{- define "tiergate.podSecurityContext" -}}
{{- $own := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 -}}
{{- $own = merge $own (dict "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault")) -}}
{{- include "tiergate.securityContext" (dict "root" .root "own" $own "more" .more) -}}
{{- end -}}

{{/* Takes a group of values: where and how its pods run, as fields of a pod. Topology is left to the caller. */}}
{{- define "tiergate.podOptions" -}}
{{- $options := pick . "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" "dnsConfig" "hostAliases" -}}
{{- $options = merge $options (pick . "nodeSelector" "tolerations" "affinity") -}}
{{- range $key, $value := $options -}}
{{- if $value }}
{{ $key }}:{{ if kindIs "string" $value }} {{ $value }}{{ else }}{{ toYaml $value | nindent 2 }}{{ end }}
{{- end -}}
{{- end -}}
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
{{- $host := printf "%s.%s.svc" (include "tiergate.controlPlane.fullname" .) (include "tiergate.namespace" .) -}}
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
{{- $all = append $all (printf "%s:%s-daemonset" (include "tiergate.namespace" .) (include "tiergate.fullname" .)) -}}
{{- end -}}
{{- toJson (sortAlpha (uniq $all)) -}}
{{- end -}}

{{/* Takes `labels`, as text, and `job`, a group of values: the labels of a Job's pod. */}}
{{- define "tiergate.job.podLabels" -}}
{{- toYaml (merge (fromYaml .labels) (deepCopy .job.podLabels)) -}}
{{- end -}}

{{/*
Takes `database`, the values of PostgreSQL: the variable with its URL. Where the values name host, user and database,
the password stands in a variable that PostgreSQL's client library reads itself, so that no character needs escaping.
*/}}
{{- define "tiergate.databaseEnv" -}}
{{- if .database.host -}}
- name: TIERGATE_CP_DATABASE
  value: {{ printf "postgresql://%s@%s:%d/%s%s" (urlquery .database.user) .database.host (int .database.port) (urlquery .database.database) (ternary (printf "?%s" .database.parameters) "" (ne .database.parameters "")) | quote }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .database.existingSecret }}
      key: {{ .database.passwordKey }}
{{- else -}}
- name: TIERGATE_CP_DATABASE
  valueFrom:
    secretKeyRef:
      name: {{ .database.existingSecret }}
      key: {{ .database.key }}
{{- end -}}
{{- end -}}

{{/* Takes a group of values: the fields of a Service that they set. */}}
{{- define "tiergate.serviceOptions" -}}
{{- $root := .root -}}
{{- $service := deepCopy .service -}}
{{- if not (or $service.ipFamilyPolicy $service.ipFamilies) -}}
{{- if eq $root.Values.ipFamily "dual" -}}
{{- $_ := set $service "ipFamilyPolicy" "PreferDualStack" -}}
{{- else if eq $root.Values.ipFamily "IPv6" -}}
{{- $_ := set $service "ipFamilies" (list "IPv6") -}}
{{- end -}}
{{- end -}}
{{- $options := pick $service "clusterIP" "ipFamilyPolicy" "ipFamilies" "loadBalancerClass" "loadBalancerSourceRanges" -}}
{{- range $key, $value := merge $options (pick $service "externalTrafficPolicy" "internalTrafficPolicy" "trafficDistribution") }}
{{- if $value }}
{{ $key }}: {{ toJson $value }}
{{- end }}
{{- end }}
{{- end -}}
