"""Makes the package `tiergate_client` of `tiergate.client` and the modules that it imports.

It is the same code under another name, so that both distributions can be installed side by side: `tiergate.client` is
`tiergate_client`, and `tiergate.x` is `tiergate_client._shared.x`. A source distribution contains the result.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = "tiergate.client"
_MADE = Path("made", "tiergate_client")
_IMPORT = re.compile(r"^(\s*(?:from|import) )tiergate(\.[\w.]+)?(?=\s)", re.MULTILINE)


class Metadata(MetadataHookInterface):
    """The version, which is that of `tiergate`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set it."""
        here = Path(self.root)
        made = here / _MADE / "_shared" / "__init__.py"
        text = (made if made.exists() else here.parents[1] / "src" / "tiergate" / "__init__.py").read_text("utf-8")
        found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
        if found is None:
            raise ValueError("no version in `tiergate/__init__.py`")
        metadata["version"] = found[1]


class Build(BuildHookInterface[Any]):
    """The modules."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make them, and have them included."""
        del version
        folder = Path(self.root) / _MADE
        if not folder.exists():
            folder = self._made = Path(tempfile.mkdtemp(), "tiergate_client")
            make_package(Path(self.root).parents[1] / "src", folder)
        target = str(_MADE) if self.target_name == "sdist" else _MADE.name
        build_data["force_include"][str(folder)] = target
        license_ = next(
            path for path in (Path(self.root, "LICENSE"), Path(self.root).parents[1] / "LICENSE") if path.exists()
        )
        if self.target_name == "sdist":
            build_data["force_include"][str(license_)] = "LICENSE"
        else:
            build_data["extra_metadata"][str(license_)] = "licenses/LICENSE"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        del version, build_data, artifact_path
        if hasattr(self, "_made"):
            shutil.rmtree(self._made.parent)


def make_package(source: Path, target: Path) -> None:
    """Write the package `tiergate_client` to `target`; `source` is the folder that contains `tiergate`."""
    for module in modules_of(source):
        path = _file(source, module)
        relative = path.relative_to(source / "tiergate")
        written = target / (relative.relative_to("client") if _is_client(module) else Path("_shared", relative))
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(renamed(path.read_text("utf-8")), encoding="utf-8")
    (target / "py.typed").touch()


def modules_of(source: Path) -> list[str]:
    """Return the modules that the client imports, itself and packages included, by name."""
    found: set[str] = set()
    waiting = [_ROOT, *(f"{_ROOT}.{path.stem}" for path in (source / "tiergate" / "client").glob("[a-z]*.py"))]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])
        waiting += _imported(source, module)
    return sorted(found)


def renamed(text: str) -> str:
    """Return the text of a module with its imports under the other name."""

    def other(found: re.Match[str]) -> str:
        module = f"tiergate{found[2] or ''}"
        if _is_client(module):
            return f"{found[1]}tiergate_client{module.removeprefix(_ROOT)}"
        return f"{found[1]}tiergate_client._shared{module.removeprefix('tiergate')}"

    return _IMPORT.sub(other, text)


def _imported(source: Path, module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(_file(source, module).read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.split(".")[0] == "tiergate" and _exists(source, name))


def _is_client(module: str) -> bool:
    return module == _ROOT or module.startswith(f"{_ROOT}.")


def _exists(source: Path, module: str) -> bool:
    path = source / module.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def _file(source: Path, module: str) -> Path:
    path = source / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
