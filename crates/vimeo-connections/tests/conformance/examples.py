"""Checks that every example in an OpenAPI document is valid by its schema.

Usage: examples.py FILE
"""

import json
import sys

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DOCUMENT = "urn:document"


def main(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    registry = Registry().with_resource(DOCUMENT, DRAFT202012.create_resource(document))
    count = 0
    faults = []
    for pointer, example in examples(document, ""):
        count += 1
        # By its place, so that references inside of the schema are found.
        schema = {"$ref": f"{DOCUMENT}#{pointer}"}
        validator = Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())
        faults += [f"{pointer}: {error.message}" for error in validator.iter_errors(example)]
    print("\n".join(faults))
    print(f"{count} examples, {len(faults)} faults")
    sys.exit(1 if faults or count == 0 else 0)


def examples(node, pointer):
    """Every example, with the pointer to its schema. One is inside of a schema, or beside it."""
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from examples(child, f"{pointer}/{index}")
    if not isinstance(node, dict):
        return
    schema = f"{pointer}/schema" if "schema" in node else pointer
    if "example" in node:
        yield schema, node["example"]
    if isinstance(node.get("examples"), list):
        for example in node["examples"]:
            yield schema, example
    if isinstance(node.get("examples"), dict) and "schema" in node:
        for example in node["examples"].values():
            yield schema, example["value"]
    for name, child in node.items():
        # What is in an example is no schema.
        if name not in ("example", "examples") or pointer.endswith("/properties"):
            yield from examples(child, f"{pointer}/{name.replace('~', '~0').replace('/', '~1').replace('%', '%25')}")


main(sys.argv[1])
