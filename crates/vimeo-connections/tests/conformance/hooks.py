"""What no schema can say of the service's input, so that valid requests are valid and invalid ones are not."""

import datetime
import os
import unicodedata

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

# The fields of connections: other fields of their bodies are ignored, but for near misses of these. Bodies of uploads
# have no other fields at all, which their schema says.
KNOWN_FIELDS = [
    "name",
    "description",
    "enabled",
    "clientIdentifier",
    "clientSecret",
    "accessToken",
    "connectionId",
    "type",
    "createdDate",
    "updatedDate",
    "version",
]
NEAR_MISS_DISTANCE = 2

# Letters, marks and digits of several scripts; those of Python's Unicode are in any later edition too. No marks that
# NFC would move or join, so that a name of 100 characters has 100 of them afterwards.
NAME_CHARACTERS = st.characters(categories=["Lu", "Ll", "Lt", "Lo", "Nd"], include_characters=" _-").filter(
    lambda c: unicodedata.is_normalized("NFC", c) and c not in "\u115f\u1160\u3164\uffa0"
)
NAMES = st.text(NAME_CHARACTERS, min_size=1, max_size=100).filter(
    lambda name: name.strip(" ") != "" and unicodedata.is_normalized("NFC", name)
)
schemathesis.openapi.format("connection-name", NAMES)
# Names of API keys may have more characters; none of these is refused.
schemathesis.openapi.format("label", NAMES)
schemathesis.openapi.format("description-line", NAMES)

# The first page: no key at all, or the documented sample. Keys of other pages come from answers.
schemathesis.openapi.format("page-key", st.sampled_from(["", "eyJsYXN0RXZhbHVhdGVkS2V5Ijp7fX0="]))

schemathesis.openapi.format("public-url", st.sampled_from(["https://media.example.com/film.mp4", "https://a.example/b?c=d"]))

# Absolute: https, or http on this machine.
schemathesis.openapi.format("return-url", st.sampled_from(["https://app.example.com/connected", "http://localhost:3000/a?b=c"]))

# Identifiers have a time in them. An endpoint that does not exist has no deliveries.
schemathesis.openapi.format("webhook-endpoint-id", st.just("whe_20260131090500042k3v9x0q2m7t1b8z"))


# In the future, at most a year ahead.
FUTURE_TIMES = st.integers(min_value=1, max_value=300).map(
    lambda days: (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
)
schemathesis.openapi.format("future-time", FUTURE_TIMES)

# Beside it no setting is valid.
schemathesis.openapi.format("replaced-video", st.nothing())


# The connection of the path may be named again. What is made up is not that one, so that only nothing is valid.
schemathesis.openapi.format("same-connection", st.nothing())


@schemathesis.hook
def filter_body(ctx, body):
    """A made-up field of a connection may by chance be a near miss of a known one, which is refused."""
    if ctx.operation.definition.raw["operationId"] == "create_upload" or not isinstance(body, dict):
        return True
    return not any(is_near_miss(name) for name in body if name not in KNOWN_FIELDS)


def is_near_miss(name):
    return any(fold(name) == fold(known) or distance(name, known) <= NEAR_MISS_DISTANCE for known in KNOWN_FIELDS)


def fold(name):
    return name.replace("_", "").replace("-", "").lower()


def distance(one, other):
    """The edit distance of two texts."""
    if abs(len(one) - len(other)) > NEAR_MISS_DISTANCE:
        return NEAR_MISS_DISTANCE + 1
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """No request revokes or rotates the key that all requests use. A valid `If-Match` says the version that the body says, which links may have put there last."""
    if (case.path_parameters or {}).get("keyId") == os.environ["OWN_KEY_ID"]:
        case.path_parameters["keyId"] = "key_00000000000000000000"
    is_valid = case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE
    for header in [name for name in case.headers or {} if name.lower() == "if-match"]:
        if is_valid and isinstance(case.body, dict):
            case.headers[header] = f'"{int(case.body["version"])}"'
