"""The administration API: routes that parse a request, call a use case and answer."""
