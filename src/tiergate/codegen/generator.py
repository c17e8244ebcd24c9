"""From a catalog to source text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.codegen import go, python, typescript
from tiergate.codegen.language import Language
from tiergate.codegen.vocabulary import vocabulary_of

if TYPE_CHECKING:
    from tiergate.model import Catalog


def generate(
    catalog: Catalog, language: Language, package: str = "entitlements", client: str = "tiergate.client"
) -> str:
    """Return the source text of a catalog's names.

    `package`: the name of the package, in Go. `client`: the package of the client, in Python.

    Raises:
        ValueError: Go cannot have a package of that name.
    """
    vocabulary = vocabulary_of(catalog)
    match language:
        case Language.PYTHON:
            return python.write(vocabulary, client)
        case Language.TYPESCRIPT:
            return typescript.write(vocabulary)
        case Language.GO:
            return go.write(vocabulary, package)
