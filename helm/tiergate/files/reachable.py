"""What `helm test` runs: the control plane is reached by its Service, ready, and knows the first admin's key.

Takes its URL, then the file of the key, then the file of whom to trust; the last two may be missing.
"""

import json
import pathlib
import ssl
import sys
import urllib.error
import urllib.request

url, key, authority = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
trust = ssl.create_default_context(cafile=str(authority) if authority.exists() else None)


def ask(path, **headers):
    """Ask for a path, and return what is answered."""
    request = urllib.request.Request(url + path, headers=headers)  # noqa: S310 - the chart says which
    with urllib.request.urlopen(request, timeout=10, context=trust) as answer:  # noqa: S310
        return json.load(answer)


try:
    print(f"{url}/readyz:", ask("/readyz")["status"])
except urllib.error.HTTPError as error:
    if error.code != 404:  # probes have a port of their own then; a Service has ready pods alone
        raise
    print(f"{url}/openapi.json:", ask("/openapi.json")["info"]["title"])
if key.exists():
    caller = ask("/v1/whoami", Authorization=f"Bearer {key.read_text().strip()}")
    print(f"{url}/v1/whoami:", json.dumps(caller))
