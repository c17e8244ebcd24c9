"""Compile a catalog and rules into the files of a bundle.

Pure: the output depends on the input alone, not on its order, the machine, the time or the number of threads. All
policies are strictly validated against the schema.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tiergate.cedar import BUILTIN_POLICIES, Schema, builtin_text
from tiergate.compiler.catalog_checks import find_catalog_problems, problem_at
from tiergate.compiler.catalog_entities import VersionWriter, write_feature_entities
from tiergate.compiler.item_policies import PermitWriter, read_shapes
from tiergate.compiler.policy_validation import validate_files
from tiergate.compiler.rule_checks import check_rules
from tiergate.compiler.rule_entities import check_entities, entities_json, read_entities
from tiergate.compiler.schema_fragments import read_fragments
from tiergate.compiler.source_text import AuthorText
from tiergate.compiler.symbol_table import SymbolTable
from tiergate.errors import CompileError, RulesError
from tiergate.model import Catalog, Problem, Rules
from tiergate.model.canonical_json import canonical_json
from tiergate.naming import (
    ID_RULE,
    is_id,
    item_entities_path,
    item_policies_path,
    rule_entities_path,
    rule_policies_path,
    version_ref,
)
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.compiler.catalog_checks import Positions
    from tiergate.model import Definition, Item

_SCHEMA = "schema.cedarschema"
_NO_RULES = Rules()


def compile_catalog(
    catalog: Catalog,
    rules: Rules = _NO_RULES,
    *,
    positions: Positions | None = None,
    rules_folder: str = "",
    previous: Mapping[str, str] | None = None,
    known: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Compile a catalog and the users' rules into all files of a bundle except its manifest: path → content.

    `positions` and `rules_folder` locate problems in the catalog and in the rules. `previous`: path → SHA-256 in hex of
    an earlier compilation; files with the same hash under the same schema are not validated again. `known`: path →
    content of files to reuse. Both change the time, never the output.

    Raises:
        CompileError: if the catalog cannot be compiled; with all problems, sorted by position.
        RulesError: if the rules cannot be compiled; likewise.
    """
    positions = positions if positions is not None else {}
    problems = find_catalog_problems(catalog, positions)
    if problems:
        raise CompileError(problems)
    files, schema = _rule_files(rules, catalog, rules_folder)
    files.update({f"policies/{name}.cedar": builtin_text(name).encode() for name in BUILTIN_POLICIES})
    files["catalog.json"] = canonical_json(catalog.index())
    files["entities/features.json"] = write_feature_entities(catalog.features.values())
    compiled = _item_files(catalog, files, known or {})
    _validate(files, compiled, schema, positions, previous or {})
    return dict(sorted(files.items()))


def _item_files(
    catalog: Catalog, files: dict[str, bytes], known: Mapping[str, bytes]
) -> dict[str, tuple[Item, Definition]]:
    versions = VersionWriter(catalog.features)
    permits = PermitWriter(catalog.features, read_shapes(builtin_text("templates")))
    compiled: dict[str, tuple[Item, Definition]] = {}
    for item in catalog.items.values():
        for definition in item.versions:
            ref = version_ref(item.kind, item.id, definition.version)
            path, data_path = item_policies_path(ref), item_entities_path(ref)
            if path in known and data_path in known:
                files[path], files[data_path] = known[path], known[data_path]
            else:
                files[path] = permits.write(ref, definition.entitlements).encode()
                files[data_path] = versions.write(item, definition)
            compiled[path] = (item, definition)
    return compiled


def _rule_files(rules: Rules, catalog: Catalog, folder: str) -> tuple[dict[str, bytes], Schema]:
    """Check the users' files, and make the bundle's rule files and schema."""
    fragments = _sources(rules.schemas, folder, ".cedarschema")
    written = _sources(rules.entities, folder, ".entities.json")
    policies = _sources(rules.policies, folder, ".cedar")
    text, schema, declared = read_fragments(list(fragments.values()))
    own = {entry.name: set(entry.choices) for entry in declared if entry.kind == "entity"}
    entities = {file: read_entities(source, own) for file, source in written.items()}
    for entity in (entry for listed in entities.values() for entry in listed):
        own[entity.uid.type].add(entity.uid.id)
    if schema is not None:
        vocabulary = SymbolTable.of(catalog, own)
        check_entities([(written[file], listed) for file, listed in entities.items()], vocabulary, schema)
        for source in policies.values():
            check_rules(source, vocabulary, schema)
    problems = [
        problem
        for sources in (fragments, written, policies)
        for source in sources.values()
        for problem in source.problems
    ]
    if problems or schema is None:
        raise RulesError(sorted(set(problems)))
    files = {_SCHEMA: text.encode()}
    files.update({rule_policies_path(file): source.text.encode() for file, source in policies.items()})
    files.update({rule_entities_path(file): entities_json(listed) for file, listed in entities.items()})
    return files, schema


def _sources(texts: Mapping[str, str], folder: str, ending: str) -> dict[str, AuthorText]:
    """Return the users' files of one kind, sorted by name, each with the path that its author knows."""
    sources: dict[str, AuthorText] = {}
    for name, text in sorted(texts.items()):
        source = AuthorText(f"{folder}/{name}{ending}" if folder else name + ending, to_nfc(text))
        if not is_id(name):
            source.problems.append(Problem(source.file, 0, 0, "bad-id", f"the file's name `{name}` {ID_RULE}"))
        sources[name] = source
    return sources


def _validate(
    files: Mapping[str, bytes],
    compiled: Mapping[str, tuple[Item, Definition]],
    schema: Schema,
    positions: Positions,
    previous: Mapping[str, str],
) -> None:
    """Validate the built-in policies, which rules' schemas could break, and every compiled file."""
    paths = [path for path in sorted(files) if path.startswith("policies/") and not path.startswith("policies/rules/")]
    if previous.get(_SCHEMA) == _digest(files[_SCHEMA]):
        paths = [path for path in paths if previous.get(path) != _digest(files[path])]
    problems = set()
    for path, findings in validate_files({path: files[path] for path in paths if files[path]}, schema).items():
        for finding in findings:
            key: tuple[str | int, ...] = ()
            if path in compiled:
                item, definition = compiled[path]
                given = sorted(definition.entitlements)[finding.place : finding.place + 1] if finding.place >= 0 else []
                key = ("item", item.id, definition.version, *given)
            problems.add(problem_at(positions, key, "invalid-policy", f"`{path}`: {finding.message}"))
    if problems:
        raise CompileError(sorted(problems))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
