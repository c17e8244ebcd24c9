"""What Tiergate does in a Kubernetes cluster beside deciding: what it asks of the API server, what it puts into pods.

The API server is talked to as the pod that asks is allowed to: with the pod's own service account, and nothing else.
"""
