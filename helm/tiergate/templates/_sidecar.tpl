{{- /*
The sidecar as it stands in a pod, for charts of one's own: docs/how-to/sidecar-in-a-pod.md. In a chart that has this one
among its dependencies, each takes `.Subcharts.tiergate`, or a dict of that as `root` and `sidecar`, what is to be other
than in `tiergate.sidecar` of the values:

  tiergate.sidecar.initContainer    the container, one of `initContainers`
  tiergate.sidecar.volumes          the pod's volumes, a list
  tiergate.sidecar.appEnv           the variables of a container that asks, a list
  tiergate.sidecar.appVolumeMounts  the mounts of a container that asks, a list

INVARIANT (one fragment): src/tiergate/cluster/injector/pod_template.py makes the same parts of the same words; a test
compares.
*/ -}}

{{- define "tiergate.sidecar.initContainer" -}}
{{- include "tiergate.sidecar.requireKeys" . -}}
{{- include "tiergate.sidecar.container" (fromYaml (include "tiergate.sidecar.words" .)) -}}
{{- end -}}

{{- define "tiergate.sidecar.volumes" -}}
{{- $words := fromYaml (include "tiergate.sidecar.words" .) -}}
{{- if not $words.dataVolume }}
- name: tiergate-data
  {{- toYaml $words.data | nindent 2 }}
{{- end }}
- name: tiergate-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{ include "tiergate.sidecar.tokenVolume" $words }}
{{- with $words.objectStoreVolume }}
- name: tiergate-object-store
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $words.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tiergate.sidecar.appEnv" -}}
{{- $words := fromYaml (include "tiergate.sidecar.words" .) -}}
- name: TIERGATE_SIDECAR_URL
  value: http://127.0.0.1:{{ $words.port }}
- name: TIERGATE_SIDECAR_SOCKET
  value: {{ $words.socketPath }}
{{- end -}}

{{- define "tiergate.sidecar.appVolumeMounts" -}}
{{- $words := fromYaml (include "tiergate.sidecar.words" .) -}}
- name: tiergate-socket
  mountPath: {{ dir $words.socketPath }}
  readOnly: true
{{- end -}}

{{- /*
What follows is the chart's own.
*/ -}}

{{- /* What the values say of every sidecar, in the words of the injector's `sidecar-file`. */ -}}
{{- define "tiergate.sidecar.words" -}}
{{- $root := default . .root -}}
{{- $given := dict -}}
{{- if .root -}}{{- $given = default (dict) .sidecar -}}{{- end -}}
{{- range $name, $_ := $given -}}
{{- if not (hasKey $root.Values.sidecar $name) -}}
{{- fail (printf "`sidecar` was given `%s`, and there is no such value" $name) -}}
{{- end -}}
{{- end -}}
{{- $sidecar := mergeOverwrite (deepCopy $root.Values.sidecar) (deepCopy $given) -}}
{{- $url := $sidecar.controlPlane.url -}}
{{- if and (not $url) $root.Values.controlPlane.enabled -}}
{{- $url = include "tiergate.controlPlane.url" $root -}}
{{- end -}}
{{- if not $url -}}
{{- fail "`sidecar.controlPlane.url` is needed where `controlPlane.enabled` is false: what do sidecars follow?" -}}
{{- end -}}
{{- $settings := dict -}}
{{- if hasPrefix "http://" $url -}}
{{- $_ := set $settings "insecure" "true" -}}
{{- end -}}
{{- if ne $root.Values.ipFamily "IPv4" -}}
{{- $_ := set $settings "probe-host" (include "tiergate.everyAddress" $root) -}}
{{- end -}}
{{- range $name, $value := $sidecar.settings -}}
{{- with include "tiergate.sidecar.text" $value -}}
{{- $_ := set $settings $name . -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey $settings "startup-allow") (not $sidecar.startupDeadline) -}}
{{- fail "`sidecar.settings` must not have `startup-allow` where `sidecar.startupDeadline` is 0: nothing ends the waiting" -}}
{{- end -}}
{{- $resources := dict "requests" (dict) "limits" (dict) -}}
{{- range $kind, $quantities := $sidecar.resources -}}
{{- range $name, $quantity := $quantities -}}
{{- $_ := set (get $resources $kind) $name (include "tiergate.sidecar.text" $quantity) -}}
{{- end -}}
{{- end -}}
image: {{ include "tiergate.imageReference" (dict "root" $root "image" $sidecar.image) | quote }}
imagePullPolicy: {{ $sidecar.image.pullPolicy }}
controlPlane: {{ $url | quote }}
{{- with $sidecar.controlPlane.ca }}
controlPlaneCa: {{ . | toJson }}
{{- end }}
{{- with $sidecar.storeId }}
storeId: {{ . | quote }}
{{- end }}
publicKeys: {{ $sidecar.publicKeys | toJson }}
settings: {{ $settings | toJson }}
startupDeadline: {{ if $sidecar.startupDeadline }}{{ $sidecar.startupDeadline | toJson }}{{ else }}null{{ end }}
port: {{ int $sidecar.port }}
probePort: {{ int $sidecar.probePort }}
socketPath: {{ $sidecar.socketPath | quote }}
tokenAudience: {{ default $root.Values.controlPlane.issuers.kubernetes.audience $sidecar.token.audience | quote }}
tokenSeconds: {{ int $sidecar.token.seconds }}
resources: {{ $resources | toJson }}
securityContext: {{ include "tiergate.sidecar.securityContext" (dict "root" $root "more" $sidecar.securityContext) | fromYaml | toJson }}
probes: {{ $sidecar.probes }}
{{- range $name := list "extraEnv" "extraEnvFrom" "extraVolumes" "extraVolumeMounts" }}
{{- with get $sidecar $name }}
{{ $name }}: {{ . | toJson }}
{{- end }}
{{- end }}
{{- with $sidecar.imagePullSecrets }}
{{- $names := list }}
{{- range . }}
{{- $names = append $names (ternary . (get (ternary (dict) . (kindIs "string" .)) "name") (kindIs "string" .)) }}
{{- end }}
imagePullSecrets: {{ $names | toJson }}
{{- end }}
{{- if eq $sidecar.data.type "volume" }}
dataVolume: {{ required "`sidecar.data.name` is needed with the type `volume`: the volume of the pod" $sidecar.data.name | quote }}
{{- else }}
data:
{{- if eq $sidecar.data.type "ephemeral" }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $sidecar.data.storageClass }}
        storageClassName: {{ if ne . "-" }}{{ . | quote }}{{ else }}""{{ end }}
        {{- end }}
        resources: {requests: {storage: {{ $sidecar.data.size | quote }}}}
{{- else }}
  emptyDir: {sizeLimit: {{ $sidecar.data.size | quote }}}
{{- end }}
{{- end }}
{{- with $sidecar.objectStoreVolume }}
{{- if hasKey $settings "object-store" -}}
{{- fail "`sidecar.settings` must not have `object-store` beside `sidecar.objectStoreVolume`" -}}
{{- end }}
objectStoreVolume: {{ . | toJson }}
{{- end }}
{{- end -}}

{{- /* A value as one would write it in a variable. Numbers are not written as `1e+06`. */ -}}
{{- define "tiergate.sidecar.text" -}}
{{- if kindIs "string" . -}}{{- . -}}
{{- else if kindIs "slice" . -}}{{- join "," . -}}
{{- else -}}{{- toJson . -}}{{- end -}}
{{- end -}}

{{- /* Ends the rendering where a sidecar would believe nobody. */ -}}
{{- define "tiergate.sidecar.requireKeys" -}}
{{- $words := fromYaml (include "tiergate.sidecar.words" .) -}}
{{- if not $words.publicKeys -}}
{{- fail "`sidecar.publicKeys` is needed: by which keys do sidecars believe what the control plane signed?" -}}
{{- end -}}
{{- end -}}

{{- /* Takes the words. */ -}}
{{- define "tiergate.sidecar.container" -}}
{{- $patience := ternary 600 (add 60 (ceil (default 0 .startupDeadline))) (empty .startupDeadline) -}}
name: tiergate
image: {{ .image | quote }}
imagePullPolicy: {{ .imagePullPolicy }}
restartPolicy: Always
args: [sidecar]
env:
  {{- include "tiergate.sidecar.variables" . | trim | nindent 2 }}
  {{- with .extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: tiergate-probes, containerPort: {{ .probePort }}, protocol: TCP}
resources:
  {{- toYaml .resources | nindent 2 }}
startupProbe:
  {{- include "tiergate.sidecar.probe" (dict "words" . "path" "startupz" "option" "--startup") | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ $patience }}
readinessProbe:
  {{- include "tiergate.sidecar.probe" (dict "words" . "path" "readyz") | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  {{- include "tiergate.sidecar.probe" (dict "words" . "path" "livez" "option" "--live") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
securityContext:
  {{- toYaml .securityContext | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: {{ default "tiergate-data" .dataVolume }}, mountPath: /var/lib/tiergate}
  - {name: tiergate-socket, mountPath: {{ dir .socketPath | quote }}}
  - {name: tiergate-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  {{- if .objectStoreVolume }}
  - {name: tiergate-object-store, mountPath: /var/cache/tiergate, readOnly: true}
  {{- end }}
  {{- with .extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* Takes `root` and `more`, what the values say: the sidecar's security context. */ -}}
{{- define "tiergate.sidecar.securityContext" -}}
{{- $own := fromYaml (include "tiergate.containerSecurityContext" (dict "root" .root)) -}}
{{- include "tiergate.securityContext" (dict "root" .root "own" (set $own "privileged" false) "more" .more) -}}
{{- end -}}

{{- /* Takes the words and the path of a probe: how the kubelet asks. */ -}}
{{- define "tiergate.sidecar.probe" -}}
{{- if eq .words.probes "exec" -}}
exec: {command: [/opt/tiergate/bin/python, -m, tiergate.cli.health{{ with .option }}, {{ . }}{{ end }}]}
{{- else -}}
httpGet: {path: /{{ .path }}, port: {{ .words.probePort }}, scheme: HTTP}
{{- end -}}
{{- end -}}

{{- /* Takes the words: the sidecar's settings as variables. What is empty is left out. */ -}}
{{- define "tiergate.sidecar.variables" -}}
{{- $said := list -}}
{{- $said = append $said (list "control-plane" .controlPlane) -}}
{{- $said = append $said (list "control-plane-ca-pem" .controlPlaneCa) -}}
{{- $said = append $said (list "key-file" "/var/run/secrets/kubernetes.io/serviceaccount/token") -}}
{{- $said = append $said (list "public-key-pem" (join "," .publicKeys)) -}}
{{- $said = append $said (list "store-id" .storeId) -}}
{{- $said = append $said (list "data" "/var/lib/tiergate") -}}
{{- $data := default dict .data -}}
{{- $size := dig "emptyDir" "sizeLimit" "" $data -}}
{{- if hasKey $data "ephemeral" -}}
{{- $size = dig "ephemeral" "volumeClaimTemplate" "spec" "resources" "requests" "storage" "" $data -}}
{{- end -}}
{{- $said = append $said (list "data-limit" (get .settings "data-limit" | default (toString $size))) -}}
{{- $said = append $said (list "port" (toJson .port)) -}}
{{- $said = append $said (list "probe-port" (toJson .probePort)) -}}
{{- $said = append $said (list "uds" .socketPath) -}}
{{- $said = append $said (list "uds-mode" "666") -}}
{{- $said = append $said (list "startup-deadline" (empty .startupDeadline | ternary "" (toJson .startupDeadline))) -}}
{{- $settings := omit .settings "data-limit" -}}
{{- if .objectStoreVolume -}}
{{- $_ := set $settings "object-store" "file:///var/cache/tiergate" -}}
{{- end -}}
{{- range $name, $value := $settings -}}
{{- $said = append $said (list $name $value) -}}
{{- end -}}
{{- range $said -}}
{{- if last . }}
- name: TIERGATE_{{ first . | replace "-" "_" | upper }}
  value: {{ last . | toJson }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Takes the words: the volume with the token that the sidecar shows the control plane. */ -}}
{{- define "tiergate.sidecar.tokenVolume" -}}
- name: tiergate-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .tokenAudience | quote }}
          expirationSeconds: {{ .tokenSeconds }}
          path: token
{{- end -}}

{{- define "tiergate.injector.fullname" -}}
{{- printf "%s-injector" (include "tiergate.fullname" .) -}}
{{- end -}}

{{- /* The name of what is in no namespace: two releases of one name, in two namespaces, must not share it. */ -}}
{{- define "tiergate.injector.webhookName" -}}
{{- printf "%s-%s" (include "tiergate.namespace" .) (include "tiergate.injector.fullname" .) -}}
{{- end -}}

{{- /* The Secret with the webhook's certificate. */ -}}
{{- define "tiergate.injector.certificateName" -}}
{{- printf "%s-tls" (include "tiergate.injector.fullname" .) -}}
{{- end -}}

{{- /* Not empty, where the control plane's own Secret says whom sidecars of this release believe it by. */ -}}
{{- define "tiergate.sidecar.caSecret" -}}
{{- if and .Values.controlPlane.enabled .Values.sidecar.controlPlane.caFromTlsSecret -}}
{{- if ne .Values.controlPlane.tls.mode "disabled" -}}{{- include "tiergate.controlPlane.tlsSecretName" . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tiergate.daemonset.fullname" -}}
{{- printf "%s-daemonset" (include "tiergate.fullname" .) -}}
{{- end -}}

{{- /* The public keys of this release's control plane. The private ones are in the same Secret, and not in this volume. */ -}}
{{- define "tiergate.publicKeysVolume" -}}
name: public-keys
secret:
  secretName: {{ include "tiergate.signingKey.secretName" . }}
  defaultMode: 0440
  items:
    {{- range .Values.controlPlane.signingKey.publicKeys }}
    - {key: {{ . | quote }}, path: {{ . | quote }}}
    {{- end }}
{{- end -}}
