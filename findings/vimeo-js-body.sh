#!/usr/bin/env bash
# Vimeo's client for Node, @vimeo/vimeo 3.0.3: `request` takes what a POST, PATCH or PUT sends from the option `query`, not
# from `body`. With its default `Content-Type: application/json` an option `body` is not sent at all: the request has no
# content, and where every field is optional, as in a PATCH of a video, Vimeo answers 200 and nothing has changed. Any other
# spelling of the media type turns this around: with `application/json; charset=utf-8`, `query` is dropped and `body`,
# which must be a string, is sent. To avoid this, pass the fields as `query` and leave `Content-Type` alone.
#
# Output seen on 2026-12-01, with Node 20.20.2 (what the server received):
#
#     query                     {"name":"A film"}
#     body                      (nothing)
#     query, charset=utf-8      (nothing)
#     body, charset=utf-8       {"name":"A film"}
#
# Needs bash, node and npm. Installs into a temporary directory. Fails if a result changes.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-audit --no-fund --ignore-scripts @vimeo/vimeo@3.0.3 >/dev/null

cat >seen.js <<'TEXT'
const http = require('node:http');
const { Vimeo } = require('@vimeo/vimeo');

const fields = { name: 'A film' };
const text = JSON.stringify(fields);
const charset = { 'Content-Type': 'application/json; charset=utf-8' };
const cases = [
  ['query', { query: fields }],
  ['body', { body: fields }],
  ['query, charset=utf-8', { query: fields, headers: charset }],
  ['body, charset=utf-8', { body: text, headers: charset }],
];

const server = http.createServer((request, response) => {
  let content = '';
  request.on('data', (chunk) => { content += chunk; });
  request.on('end', () => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ content }));
  });
});
server.listen(0, '127.0.0.1', async () => {
  const { port } = server.address();
  const client = new Vimeo('id', 'secret', 'token');
  for (const [name, options] of cases) {
    const where = { hostname: '127.0.0.1', port, protocol: 'http:', method: 'PATCH', path: '/videos/1' };
    const { body } = await client.request({ ...where, ...options });
    console.log(name.padEnd(26) + (body.content || '(nothing)'));
  }
  server.close();
});
TEXT

cat >expected <<'TEXT'
query                     {"name":"A film"}
body                      (nothing)
query, charset=utf-8      (nothing)
body, charset=utf-8       {"name":"A film"}
TEXT
node seen.js | tee seen
diff expected seen
