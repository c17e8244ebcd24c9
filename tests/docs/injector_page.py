"""Writes the reference of the injector from the list of annotations and the table of its settings."""

from __future__ import annotations

from itertools import groupby

from tests.docs.settings_page import row
from tiergate.cluster.injector.annotations import ANNOTATIONS, DOMAIN, Annotation
from tiergate.cluster.injector.settings import SETTINGS


def injector_page() -> str:
    """The page, as docs/reference/injector.md should be."""
    parts = [HEAD, *TABLE_HEAD, *(annotation_row(one) for one in ANNOTATIONS), "", AFTER_ANNOTATIONS]
    for group, settings in groupby(SETTINGS, key=lambda setting: setting.group):
        parts += [f"### {group}", "", "| setting | value | default | |", "|---|---|---|---|"]
        parts += [row(setting) for setting in settings]
        parts.append("")
    return "\n".join([*parts, AFTER_SETTINGS]).rstrip("\n") + "\n"


def annotation_row(annotation: Annotation) -> str:
    """The row of one annotation."""
    words = annotation.help
    if annotation.setting:
        words = words.replace("As the setting", f"As the setting [`{annotation.name}`](settings.md)")
    usual = "yes" if annotation.usual else ""
    return f"| `{DOMAIN}{annotation.name}` | {annotation.kind} | {usual} | {words} |"


TABLE_HEAD = ("| annotation | value | usual | |", "|---|---|---|---|")

HEAD = """\
# The injector

<!-- Generated from src/tiergate/cluster/injector/annotations.py and settings.py by `make docs`. -->

`tiergate injector` is a mutating admission webhook: when a pod with the label `tiergate.dev/inject: "true"` is made, it
puts a sidecar into it. The [chart](../operations/install.md) installs it with `injector.enabled`; its
`objectSelector` keeps it away from all other pods.

```yaml
apiVersion: v1
kind: Pod
metadata:
  name: shop
  labels: {tiergate.dev/inject: "true"}
  annotations:
    tiergate.dev/containers: shop
    tiergate.dev/memory-limit: 1Gi
spec:
  containers:
    - {name: shop, image: shop}
```

In a Deployment, a Job and such, label and annotations stand in the pod's template, `spec.template.metadata`.

## What a pod gets

- An init container `tiergate` with `restartPolicy: Always`, before the others: what Kubernetes (1.29 and later) calls a
  sidecar. It is ready before the pod's containers start, and ends after they have. It runs as user 65532, without
  privileges, on a read-only file system.
- Three volumes: `tiergate-data` for what it keeps, `tiergate-socket` for its Unix socket, `tiergate-token` with a token
  of the pod's service account for the audience `tiergate` alone. That is by what the control plane knows it: see
  [callers](callers.md). No Secret is needed in the pod's namespace. Public keys and the id of the store stand in the
  container's variables. The token stands where Kubernetes would mount the pod's token for the API server, which the
  sidecar so does not get.
- In each container that is served, a read-only mount of the socket's folder and two variables, unless it has such ones
  already. They come first, so that others can refer to them, as `$(TIERGATE_SIDECAR_URL)`.

| variable | is |
|---|---|
| `TIERGATE_SIDECAR_URL` | `http://127.0.0.1:8437` |
| `TIERGATE_SIDECAR_SOCKET` | `/run/tiergate/sidecar.sock` |

- The annotation `tiergate.dev/status`, in JSON, that says what was done: by which version, which containers are served,
  which annotations were followed.

A pod that was injected is left as it is, however often the API server asks. The chart's named templates make the same
parts for charts of one's own.

## What a pod may say

A closed list of annotations. Those that are *usual* are allowed unless the operator says otherwise
(`allow-annotation`); the others change what is decided while something fails, or what is logged, and the operator must
allow them. The image, the control plane, keys and the token are on no list.
"""

AFTER_ANNOTATIONS = """\
## What is refused

A pod is not made, and whoever makes it is told all reasons at once, where

- an annotation that begins with `tiergate.dev/` is none of the list, is not allowed, or has a value that its setting
  does not take;
- `tiergate.dev/containers` names a container that the pod does not have;
- a container is called `tiergate`, or a volume as one of the three;
- a container that is served mounts something else at the socket's folder, or any container one of the three volumes;
- a container says that it uses a port of the sidecar's;
- the pod uses its node's network, unless it chooses both ports;
- the pod is for Windows.

```
admission webhook "inject.tiergate.dev" denied the request: tiergate cannot be injected: annotation
`tiergate.dev/log-levl` is none that there is, did you mean `tiergate.dev/log-level`?
```

For a Deployment, that is an event of its ReplicaSet: `kubectl describe replicaset`.

While no injector answers, the webhook's `failurePolicy` holds: with `Fail`, as the chart sets it, pods with the label
are not made; with `Ignore` they are made without a sidecar. Pods that run are not touched, nor are those without label.
Injecting is a service to pods and no barrier: whoever may make pods may make one without a sidecar, or with one of
their own.

## What every sidecar is

The file that `sidecar-file` names, in YAML or JSON. The chart writes it from `sidecar` in its values.

```yaml
image: tiergate-sidecar:0.1.0
controlPlane: https://tiergate.tiergate.svc:8440
settings: {max-staleness: "600"}
```

| key | default | meaning |
|---|---|---|
| `image` | required | The image, best by its digest. |
| `imagePullPolicy` | `IfNotPresent` | When it is pulled. |
| `controlPlane` | required | The URL of the control plane. |
| `controlPlaneCa` | the system's | The certificates, in PEM, by which it is believed. |
| `storeId` | the first that is seen | The id of the store. |
| `publicKeys` | none | The store's public keys, in PEM, beside those of the setting `public-key`. |
| `settings` | none | Further [settings](settings.md) of the sidecar, by name, as texts; \
none of those that have a key here, or belong to the way in which a sidecar stands in a pod. |
| `startupDeadline` | `30` | Seconds after which a sidecar without data is ready, and denies; `null` for never. \
The startup probe waits a minute longer. |
| `port`, `probePort` | `8437`, `8438` | Its ports. |
| `socketPath` | `/run/tiergate/sidecar.sock` | Its Unix socket. |
| `tokenAudience`, `tokenSeconds` | `tiergate`, `3600` | Of its token. |
| `resources` | 50m, 128Mi; at most 1, 512Mi | Requests and limits. |
| `data` | `emptyDir: {sizeLimit: 2Gi}` | The source of the volume for its data, as in a pod. \
A claim needs the pod's `fsGroup`. |
| `objectStoreVolume` | none | The source of a volume with a folder of an \
[object store](../explanation/sync.md#an-object-store), which a sidecar without data begins with while the control \
plane is away. In place of `object-store` in `settings`. |

A change of this file and of the keys holds for the pods that are made from then on, about a minute later; `SIGHUP`
has it looked at now. A file that cannot be read changes nothing, is logged, and shows in the metrics.

## Its certificate

The API server speaks HTTPS with the webhook, and believes the certificates in its `caBundle`. Either somebody else sees
to both, such as cert-manager: then `tls-cert` and `tls-key` name files. Or the injector does: it makes an authority and
a certificate, keeps both in one Secret that all replicas share, and writes the `caBundle`. The certificate is valid for
90 days and renewed 30 days before its end. The authority is valid for ten years; its successor is in the `caBundle`
before anything is served by it. What is lost or damaged, in the Secret or in the `caBundle`, is made anew within
seconds.

For that its service account may create Secrets in its namespace, read and patch this one, and read and patch this one
webhook configuration.

## Settings

Every setting can be said in three places. The first that says it wins:

1. a flag of `tiergate injector`: `--port 9443`;
2. an environment variable: `TIERGATE_INJECTOR_PORT=9443`;
3. the settings file, in TOML, that `--settings` or `TIERGATE_INJECTOR_SETTINGS` names: `port = 9443`.

```toml
# /etc/tiergate/injector.toml: relative paths start at this file's folder
sidecar-file = "sidecar.yaml"
public-key = ["public-key.pem"]
service = "tiergate-injector"
webhook = "tiergate-injector"
certificate-secret = "tiergate-injector-tls"
```
"""

AFTER_SETTINGS = """\
## Look after it

| path, on the probe port | says |
|---|---|
| `/livez` | the process runs: restart it when this fails |
| `/readyz` | there is a certificate that the API server believes, and no shutdown has begun |
| `/metrics` | the counts below, for Prometheus |

| metric | is |
|---|---|
| `tiergate_injector_reviews_total` | reviews answered, by `result`: `injected`, `unchanged`, `refused`, `malformed` |
| `tiergate_injector_review_duration_seconds` | how long they took |
| `tiergate_injector_certificate_end_timestamp_seconds` | when the certificate that is served with ends |
| `tiergate_injector_certificate_failing` | 1 where it cannot be read, renewed, or told to the webhook |
| `tiergate_injector_sidecar_file_failing` | 1 if the configuration of sidecars cannot be read; the previous one stays |
| `tiergate_injector_build_info` | the version that runs |
"""
