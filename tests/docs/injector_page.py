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

`tiergate injector` is a mutating admission webhook: it adds a sidecar to new pods with the label
`tiergate.dev/inject: "true"`. The [chart](../operations/install.md) installs it with `injector.enabled`; its
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

In a Deployment, a Job and such, put the label and annotations into the pod's template, `spec.template.metadata`.

## What a pod gets

- An init container `tiergate` with `restartPolicy: Always`, before the others: a sidecar in the sense of Kubernetes
  (1.29 and later). It is ready before the pod's containers start, and ends after they have. It runs as user 65532,
  without privileges, on a read-only file system.
- Three volumes: `tiergate-data` for its data, `tiergate-socket` for its Unix socket, `tiergate-token` with a token of
  the pod's service account only for the audience `tiergate`. The control plane identifies the sidecar by this token:
  see [callers](callers.md). The pod's namespace needs no Secret. The container's variables contain the public keys
  and the id of the store. The token is mounted where Kubernetes would mount the pod's token for the API server, so
  the sidecar does not get that one.
- In each container that uses the sidecar, a read-only mount of the socket's folder and two variables, unless it has
  them already. They come first, so that others can refer to them, as `$(TIERGATE_SIDECAR_URL)`.

| variable | is |
|---|---|
| `TIERGATE_SIDECAR_URL` | `http://127.0.0.1:8437` |
| `TIERGATE_SIDECAR_SOCKET` | `/run/tiergate/sidecar.sock` |

- The annotation `tiergate.dev/status`, in JSON: the version of the injector, the containers that use the sidecar, the
  annotations that took effect.

The injector does not change an injected pod again, however often the API server calls it. The chart's named templates
make the same parts for your own charts.

## What a pod may say

A pod may have the annotations of a closed list. The *usual* ones are allowed by default (`allow-annotation` changes
that). The others change decisions during a failure, or the logs, and the operator must allow them. The image, the
control plane, keys and the token are on no list.
"""

AFTER_ANNOTATIONS = """\
## What is refused

The injector rejects a pod, with all reasons at once, if

- an annotation that begins with `tiergate.dev/` is not on the list, is not allowed, or has an invalid value;
- `tiergate.dev/containers` names a container that the pod does not have;
- the name of a container is `tiergate`, or that of a volume is one of the three;
- a container that uses the sidecar mounts something else at the socket's folder, or any container mounts one of the
  three volumes;
- a container declares a port of the sidecar;
- the pod uses its node's network, unless it chooses both ports;
- the pod is for Windows.

```
admission webhook "inject.tiergate.dev" denied the request: tiergate cannot be injected: annotation
`tiergate.dev/log-levl` is none that there is, did you mean `tiergate.dev/log-level`?
```

For a Deployment, that is an event of its ReplicaSet: `kubectl describe replicaset`.

While no injector responds, the webhook's `failurePolicy` applies: with `Fail`, the chart's default, the API server
creates no pods with the label; with `Ignore` it creates them without a sidecar. Running pods, and pods without the
label, are not affected. The injector is a service to pods and no barrier: anyone who may create pods may create one
without a sidecar, or with their own.

## The sidecar template

The file that `sidecar-file` names, in YAML or JSON, is the template of every sidecar. The chart writes it from
`sidecar` in its values.

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
| `controlPlaneCa` | the system's | The CA certificates, in PEM, that verify it. |
| `storeId` | the first one seen | The id of the store. |
| `publicKeys` | none | The store's public keys, in PEM, beside those of the setting `public-key`. |
| `settings` | none | Further [settings](settings.md) of the sidecar, by name, as texts; \
except those that have a key here, or that the pod determines. |
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
plane is away. Instead of `object-store` in `settings`. |

A change of this file and of the keys applies to pods that are created about a minute later; after `SIGHUP` it applies
at once. If the file cannot be read, nothing changes; the log and the metrics show it.

## Its certificate

The API server calls the webhook over HTTPS, and trusts the certificates in its `caBundle`. Either another program
manages both, such as cert-manager: then `tls-cert` and `tls-key` name files. Or the injector does: it makes an
authority and a certificate, keeps both in one Secret that all replicas share, and writes the `caBundle`. The
certificate is valid for 90 days and renewed 30 days before its end. The authority is valid for ten years; its
successor is in the `caBundle` before it signs a certificate in use. If the Secret or the `caBundle` is lost or
damaged, the injector makes it again within seconds.

For this its service account may create Secrets in its namespace, read and patch this one, and read and patch this one
webhook configuration.

## Settings

You can set every setting in three places. The first that sets it wins:

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
## Monitor it

| path, on the probe port | meaning |
|---|---|
| `/livez` | the process runs: restart it when this fails |
| `/readyz` | there is a certificate that the API server trusts, and no shutdown has begun |
| `/metrics` | the counts below, for Prometheus |

| metric | meaning |
|---|---|
| `tiergate_injector_reviews_total` | reviews answered, by `result`: `injected`, `unchanged`, `refused`, `malformed` |
| `tiergate_injector_review_duration_seconds` | how long they took |
| `tiergate_injector_certificate_end_timestamp_seconds` | when the certificate in use expires |
| `tiergate_injector_certificate_failing` | 1 if it cannot be read, renewed, or registered in the webhook \
configuration |
| `tiergate_injector_sidecar_file_failing` | 1 if the configuration of sidecars cannot be read; the previous one stays |
| `tiergate_injector_build_info` | the version that runs |
"""
