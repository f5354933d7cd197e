#!/usr/bin/env bash
# A Range request whose If-Range does not match: the file has changed, so the server must send all of it (RFC 9110,
# 13.1.5). express 5.3.0 and starlette 1.10.0 do. aiohttp 3.14.5 compares only dates, and sends the part whatever entity tag
# If-Range has; http-server 14.1.1 always sends the part. A client that resumes a download must therefore compare the ETag
# and Last-Modified of the 206 response.
#
# Output seen on 2026-11-29, with Node 20.20.2 and Python 3.11.7:
#
#     server               another tag   another date
#     express 5.3.0        200           200
#     starlette 1.10.0     200           200
#     aiohttp 3.14.5       206           200
#     http-server 14.1.1   206           206
#
# Needs bash, curl, node, npm, and python3 with venv. Installs into a temporary directory. Fails if a result changes.
set -euo pipefail

directory=$(mktemp -d)
pids=()
end() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$directory"
}
trap end EXIT
cd "$directory"
npm install --silent --no-audit --no-fund --ignore-scripts express@5.3.0 http-server@14.1.1 >/dev/null
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 starlette==1.10.0 uvicorn==0.54.0
mkdir files
printf '%01000d' 0 >files/film.mp4
touch -d '2026-11-20T10:00:00Z' files/film.mp4

cat >express.js <<'TEXT'
const express = require('express');
const server = express().use(express.static('files')).listen(0, '127.0.0.1', () => console.log(server.address().port));
TEXT
cat >http-server.js <<'TEXT'
const { server } = require('http-server').createServer({ root: 'files' });
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
TEXT
cat >aiohttp.py <<'TEXT'
import socket
import sys

sys.path.pop(0)  # This file is called as the package is.
from aiohttp import web

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
application = web.Application()
application.router.add_static("/", "files")
web.run_app(application, sock=listener, print=None)
TEXT
cat >starlette.py <<'TEXT'
import socket
import sys

sys.path.pop(0)  # This file is called as the package is.
import uvicorn
from starlette.staticfiles import StaticFiles

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(StaticFiles(directory="files"), log_level="error", lifespan="off")
uvicorn.Server(config).run(sockets=[listener])
TEXT

ask() { # port if-range
    curl --silent --retry 5 --retry-connrefused --output /dev/null --write-out '%{http_code}' \
        --header 'Range: bytes=500-' --header "If-Range: $2" "http://127.0.0.1:$1/film.mp4"
}

failed=0
printf '%-20s %-13s %s\n' server 'another tag' 'another date'
while read -r package version program file tag date; do
    "$program" "$file" >"$package.port" 2>/dev/null &
    pids+=($!)
    for _ in $(seq 100); do [ -s "$package.port" ] && break; sleep 0.1; done
    port=$(cat "$package.port")
    seen_tag=$(ask "$port" '"another"') seen_date=$(ask "$port" 'Thu, 01 Jan 2026 00:00:00 GMT')
    printf '%-20s %-13s %s\n' "$package $version" "$seen_tag" "$seen_date"
    [ "$seen_tag $seen_date" = "$tag $date" ] || failed=1
done <<'TEXT'
express 5.3.0 node express.js 200 200
starlette 1.10.0 python/bin/python starlette.py 200 200
aiohttp 3.14.5 python/bin/python aiohttp.py 206 200
http-server 14.1.1 node http-server.js 206 206
TEXT
exit "$failed"
