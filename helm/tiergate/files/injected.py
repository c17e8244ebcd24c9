"""What `helm test` runs in a pod with the injector's label: a sidecar was put there, and answers on its socket."""

import http.client
import json
import os
import socket
import sys

if "TIERGATE_SIDECAR_SOCKET" not in os.environ:
    sys.exit("no sidecar was put into this pod: see the injector's log, failurePolicy and namespaceSelector")

connection = http.client.HTTPConnection("localhost", timeout=10)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.settimeout(10)
connection.sock.connect(os.environ["TIERGATE_SIDECAR_SOCKET"])
check = json.dumps({"subject": "nobody", "feature": "nothing"})
connection.request("POST", "/v1/check", check, {"content-type": "application/json"})
answer = connection.getresponse()
print(f"the sidecar answers with {answer.status}:", answer.read().decode())
