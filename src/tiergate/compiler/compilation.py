"""Compile a catalog and rules into the files of a bundle.

Pure: the output depends on the input alone, not on its order, the machine, the time or the number of threads. All
policies are strictly validated against the schema: those of items by the shapes that they have in common.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiergate.cedar import BUILTIN_POLICIES, Schema, builtin_text
from tiergate.compiler.catalog_checks import find_catalog_problems, problem_at
from tiergate.compiler.catalog_entities import VersionWriter, write_feature_entities
from tiergate.compiler.item_policies import PermitWriter, read_shapes, write_specimens
from tiergate.compiler.own_actions import (
    check_access_rules,
    concerns_own_actions,
    parse_whole,
    read_actions,
    without_actions,
)
from tiergate.compiler.policy_validation import validate_files, validate_permit_files
from tiergate.compiler.rule_checks import check_rules
from tiergate.compiler.rule_entities import check_entities, entities_json, read_entities
from tiergate.compiler.schema_fragments import read_fragments
from tiergate.compiler.source_text import AuthorText
from tiergate.compiler.symbol_table import SymbolTable
from tiergate.errors import CompileError, RulesError
from tiergate.model import Catalog, Problem, Rules
from tiergate.model.canonical_json import canonical_json
from tiergate.naming import (
    ACCESS_INDEX,
    ACCESS_SCHEMA,
    ID_RULE,
    access_policies_path,
    is_id,
    item_entities_path,
    item_policies_path,
    rule_entities_path,
    rule_policies_path,
    version_ref,
)
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.cedar import ValidationError
    from tiergate.compiler.catalog_checks import Positions
    from tiergate.compiler.item_policies import Shape
    from tiergate.compiler.own_actions import OwnAction
    from tiergate.model import FeatureType

CATALOG_INDEX = "catalog.json"
"""The file of the catalog without the entitlements."""

FEATURE_ENTITIES = "entities/features.json"
"""The file of the features and tags as entities."""

_SCHEMA = "schema.cedarschema"
_NO_RULES = Rules()


def compile_catalog(
    catalog: Catalog,
    rules: Rules = _NO_RULES,
    *,
    positions: Positions | None = None,
    rules_folder: str = "",
    known: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Compile a catalog and the users' rules into all files of a bundle except its manifest: path → content.

    `positions` and `rules_folder` locate problems in the catalog and in the rules. `known`: the files, path → content,
    that an earlier compilation made of what is unchanged; they change the time, never the output.

    Raises:
        CompileError: if the catalog cannot be compiled; with all problems, sorted by position.
        RulesError: if the rules cannot be compiled; likewise.
    """
    positions = positions if positions is not None else {}
    known = known if known is not None else {}
    problems = find_catalog_problems(catalog, positions, proved=known)
    if problems:
        raise CompileError(problems)
    shapes = read_shapes(builtin_text("templates"))
    files, schema = _rule_files(rules, catalog, rules_folder)
    built_in = {f"policies/{name}.cedar": builtin_text(name).encode() for name in BUILTIN_POLICIES}
    permits, entities = _item_files(catalog, shapes, known)
    findings = validate_files(built_in, schema)  # rules' schemas could break them
    findings |= validate_permit_files(permits, write_specimens(shapes), schema)
    if findings:
        raise CompileError(sorted(set(_invalid_policies(findings, catalog, positions))))
    files.update(built_in | permits | entities)
    files[CATALOG_INDEX] = canonical_json(catalog.index())
    files[FEATURE_ENTITIES] = known.get(FEATURE_ENTITIES) or write_feature_entities(catalog.features.values())
    return dict(sorted(files.items()))


def _item_files(
    catalog: Catalog, shapes: Mapping[FeatureType, Shape], known: Mapping[str, bytes]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the permits and the entities of every item version, by path."""
    version_writer = VersionWriter(catalog.features)
    permit_writer = PermitWriter(catalog.features, shapes)
    permits: dict[str, bytes] = {}
    entities: dict[str, bytes] = {}
    for item in catalog.items.values():
        for definition in item.versions:
            ref = version_ref(item.kind, item.id, definition.version)
            path, data_path = item_policies_path(ref), item_entities_path(ref)
            if path in known and data_path in known:
                permits[path], entities[data_path] = known[path], known[data_path]
            else:
                permits[path] = permit_writer.write(ref, definition.entitlements).encode()
                entities[data_path] = version_writer.write(item, definition)
    return permits, entities


def _rule_files(rules: Rules, catalog: Catalog, folder: str) -> tuple[dict[str, bytes], Schema]:
    """Check the users' files, and make the bundle's rule files and schema."""
    schemas = _sources(rules.schemas, folder, ".cedarschema")
    fragments = {name: without_actions(source) for name, source in schemas.items()}
    written = _sources(rules.entities, folder, ".entities.json")
    policies = _sources(rules.policies, folder, ".cedar")
    text, schema, declared = read_fragments(list(fragments.values()))
    own = {entry.name: set(entry.choices) for entry in declared if entry.kind == "entity"}
    entities = {file: read_entities(source, own) for file, source in written.items()}
    for entity in (entry for listed in entities.values() for entry in listed):
        own[entity.uid.type].add(entity.uid.id)
    actions = read_actions(list(schemas.values()), own)
    access: dict[str, AuthorText] = {}
    access_files: dict[str, bytes] = {}
    if schema is not None:
        vocabulary = SymbolTable.of(catalog, own)
        check_entities([(written[file], listed) for file, listed in entities.items()], vocabulary, schema)
        access = {file: source for file, source in policies.items() if concerns_own_actions(source, actions)}
        for file, source in policies.items():
            if file not in access:
                check_rules(source, vocabulary, schema)
        if actions and not any(source.problems for source in schemas.values()):
            access_files = _access_files(list(schemas.values()), access, vocabulary, actions)
    problems = [
        problem
        for sources in (schemas, fragments, written, policies)
        for source in sources.values()
        for problem in source.problems
    ]
    if problems or schema is None:
        raise RulesError(sorted(set(problems)))
    files = {_SCHEMA: text.encode()}
    files.update(access_files)
    files.update(
        {rule_policies_path(file): source.text.encode() for file, source in policies.items() if file not in access}
    )
    files.update({rule_entities_path(file): entities_json(listed) for file, listed in entities.items()})
    return files, schema


def _access_files(
    schemas: list[AuthorText],
    access: Mapping[str, AuthorText],
    vocabulary: SymbolTable,
    actions: Mapping[str, OwnAction],
) -> dict[str, bytes]:
    """Check the rules on own actions, and make the bundle's files of them."""
    text, schema = parse_whole(schemas)
    if schema is not None:
        for source in access.values():
            check_access_rules(source, replace(vocabulary, actions=frozenset(actions)), schema, actions)
    index = {
        name: {"principals": list(it.principals), "resources": list(it.resources), "in": list(it.groups)}
        for name, it in actions.items()
    }
    files = {ACCESS_INDEX: canonical_json(index), ACCESS_SCHEMA: text.encode()}
    return files | {access_policies_path(file): source.text.encode() for file, source in access.items()}


def _sources(texts: Mapping[str, str], folder: str, ending: str) -> dict[str, AuthorText]:
    """Return the users' files of one kind, sorted by name, each with the path that its author knows."""
    sources: dict[str, AuthorText] = {}
    for name, text in sorted(texts.items()):
        source = AuthorText(f"{folder}/{name}{ending}" if folder else name + ending, to_nfc(text))
        if not is_id(name):
            source.problems.append(Problem(source.file, 0, 0, "bad-id", f"the file's name `{name}` {ID_RULE}"))
        sources[name] = source
    return sources


def _invalid_policies(
    findings: Mapping[str, list[ValidationError]], catalog: Catalog, positions: Positions
) -> Iterator[Problem]:
    """Yield a problem for each finding, at the entitlement that the permit was made from."""
    versions = {
        item_policies_path(version_ref(item.kind, item.id, definition.version)): (item, definition)
        for item in catalog.items.values()
        for definition in item.versions
    }
    for path, found in findings.items():
        for finding in found:
            key: tuple[str | int, ...] = ()
            if path in versions:
                item, definition = versions[path]
                given = sorted(definition.entitlements)[finding.place : finding.place + 1] if finding.place >= 0 else []
                key = ("item", item.id, definition.version, *given)
            yield problem_at(positions, key, "invalid-policy", f"`{path}`: {finding.message}")
