"""The public page of the status, as HTML, JSON and Atom: without credentials, if the operator switches it on."""
