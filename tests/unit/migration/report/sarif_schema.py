"""The part of SARIF 2.1.0 that a log of ours consists of, and nothing else: names, types and limits of the standard."""

from __future__ import annotations

from typing import Any


def record(required: str, **properties: Any) -> dict[str, Any]:
    """An object with these properties only."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def many(items: dict[str, Any], **limits: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **limits}


TEXT = {"type": "string"}
POSITIVE = {"type": "integer", "minimum": 1}
INDEX = {"type": "integer", "minimum": 0}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
MESSAGE = record("text", text={"type": "string", "minLength": 1})
BAG = {"type": "object", "properties": {"tags": many(TEXT, uniqueItems=True)}}
# A relative reference of RFC 3986 in characters that need no escape.
RELATIVE = {"type": "string", "pattern": r"^[A-Za-z0-9._~/%-]+$", "not": {"pattern": "^/|%(?![0-9A-F]{2})"}}
PLACE = record(
    "artifactLocation",
    artifactLocation=record("uri uriBaseId", uri=RELATIVE, uriBaseId={"const": "SRCROOT"}),
    region=record("startLine", startLine=POSITIVE, startColumn=POSITIVE, endLine=POSITIVE),
)
LOCATION = record(
    "physicalLocation",
    physicalLocation=PLACE,
    logicalLocations=many(record("fullyQualifiedName", fullyQualifiedName=TEXT, kind=TEXT), uniqueItems=True),
)
RULE = record(
    "id",
    id=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=record("", level=LEVEL),
    properties=BAG,
)
RESULT = record(
    "message ruleId",
    ruleId=TEXT,
    ruleIndex=INDEX,
    level=LEVEL,
    message=MESSAGE,
    locations=many(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    baselineState={"enum": ["new", "unchanged", "updated", "absent"]},
    properties=BAG,
)
NOTIFICATION = record("message", level=LEVEL, message=MESSAGE, locations=many(LOCATION, uniqueItems=True))
INVOCATION = record(
    "executionSuccessful", executionSuccessful={"type": "boolean"}, toolExecutionNotifications=many(NOTIFICATION)
)
RUN = record(
    "tool",
    tool=record("driver", driver=record("name", name=TEXT, version=TEXT, rules=many(RULE, uniqueItems=True))),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    originalUriBaseIds={"type": "object", "additionalProperties": record("", description=MESSAGE)},
    invocations=many(INVOCATION),
    results=many(RESULT),
)
SARIF = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **record("version runs", **{"$schema": TEXT, "version": {"const": "2.1.0"}, "runs": many(RUN, minItems=1)}),
}
