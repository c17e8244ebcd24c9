"""The injector: a mutating admission webhook that adds sidecars to pods.

`pod_template` has the parts that a pod gets; `annotations` and `annotation_parser` what a pod can configure;
`mutation` changes a pod; `operator_config` reads the operator's files; `certificates`, `serving_certificate` and
`webhook_registration` manage TLS; `webhook` and `server` serve.
"""
