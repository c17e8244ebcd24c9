"""The injector: an admission webhook that puts a sidecar into the pods that ask for one by a label.

What a pod gets is `template`; what it may say about that, `annotations`, which `wishes` reads; what changes in a pod,
`mutation`. They are pure, and so is what `certificates` says of those that replicas share by way of `registration`. The
process is `server`, with `words`, `serving` and `webhook`.
"""
