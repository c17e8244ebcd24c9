"""What a change of the catalog or of the rules means, whom it touches, and what recorded checks would come to be.

`meaning` compares two bundles by deciding, `touched` says by looking alone which features and items can be concerned.
Leaves to others: reading files (`publish`), asking a control plane (`cli`), refusing (`publish`, `control`).
"""
