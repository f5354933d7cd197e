#!/usr/bin/env bash
# An event stream that sends `retry:` in a separate block before the first event. A browser's EventSource dispatches no
# event for it, because a block without `data` is not an event (HTML, 9.2.6). httpx-sse 0.4.3 and
# @microsoft/fetch-event-source 2.0.1 pass it to the program as a message with empty data; eventsource-parser 3.0.6 does not.
# A program that parses each message as JSON fails on the first one. To avoid this, a server sends `retry:` in the block of
# its first event.
#
# Output seen on 2026-11-29, with Node 20.20.2 and Python 3.11.7:
#
#     httpx-sse 0.4.3                       ["", "{\"a\": 1}"]
#     @microsoft/fetch-event-source 2.0.1   ["","{\"a\": 1}"]
#     eventsource-parser 3.0.6              ["{\"a\": 1}"]
#
# Needs bash, node, npm, and python3 with venv. Installs into a temporary directory. Fails if a result changes.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-audit --no-fund --ignore-scripts @microsoft/fetch-event-source@2.0.1 eventsource-parser@3.0.6 \
    >/dev/null
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1 httpx-sse==0.4.3
printf 'retry: 3000\n\ndata: {"a": 1}\n\n' >stream

cat >httpx.test.py <<'TEXT'
import json

import httpx
import httpx_sse

stream = open("stream", "rb").read()
headers = {"content-type": "text/event-stream"}
transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, content=stream))
with httpx.Client(transport=transport) as client:
    with httpx_sse.connect_sse(client, "GET", "http://example.com/") as source:
        print(json.dumps([event.data for event in source.iter_sse()]))
TEXT
cat >fetch.js <<'TEXT'
const fs = require('node:fs');
const { getLines, getMessages } = require('@microsoft/fetch-event-source/lib/cjs/parse.js');

const data = [];
getLines(getMessages(() => {}, () => {}, (message) => data.push(message.data)))(fs.readFileSync('stream'));
console.log(JSON.stringify(data));
TEXT
cat >parser.js <<'TEXT'
const fs = require('node:fs');
const { createParser } = require('eventsource-parser');

const data = [];
createParser({ onEvent: (event) => data.push(event.data) }).feed(fs.readFileSync('stream', 'utf8'));
console.log(JSON.stringify(data));
TEXT

failed=0
expect() { # name expected command…
    local name=$1 expected=$2 seen
    shift 2
    seen=$("$@")
    printf '%-37s %s\n' "$name" "$seen"
    [ "$seen" = "$expected" ] || failed=1
}
expect 'httpx-sse 0.4.3' '["", "{\"a\": 1}"]' python/bin/python httpx.test.py
expect '@microsoft/fetch-event-source 2.0.1' '["","{\"a\": 1}"]' node fetch.js
expect 'eventsource-parser 3.0.6' '["{\"a\": 1}"]' node parser.js
exit "$failed"
