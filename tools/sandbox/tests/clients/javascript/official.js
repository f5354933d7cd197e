// The life of a video with Vimeo's own client for Node, against the sandbox.
//
// Run it with BASE_URL, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, FILE, REPLACEMENT, TEXT_TRACK and IMAGE in the environment.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Vimeo, vimeo_module: vimeo } = require('@vimeo/vimeo');

const { BASE_URL, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, FILE, REPLACEMENT, TEXT_TRACK, IMAGE } = process.env;

const SCOPES = ['public', 'private', 'create', 'edit', 'delete', 'interact', 'upload'];
const MIB = 1024 * 1024;

// All that is needed to use @vimeo/vimeo with the sandbox.
const { protocol, hostname, port } = new URL(BASE_URL);
Object.assign(vimeo.request_defaults, { protocol, hostname, port });

// The value of an attribute of a tag, or undefined.
function attribute(tag, name) {
  const found = tag.match(new RegExp(`\\s${name}="([^"]*)"`));
  return found ? found[1].replaceAll('&quot;', '"').replaceAll('&#34;', '"').replaceAll('&amp;', '&') : undefined;
}

// The fields of the first form of a page, unchanged by the user.
function readForm(page) {
  const fields = new URLSearchParams();
  let action;
  let select;
  for (const [tag, kind] of page.matchAll(/<(form|input|select|option)\b[^>]*>/g)) {
    if (kind === 'form') {
      action = attribute(tag, 'action');
    } else if (kind === 'input' && (attribute(tag, 'type') !== 'checkbox' || / checked\b/.test(tag))) {
      fields.append(attribute(tag, 'name'), attribute(tag, 'value'));
    } else if (kind === 'select') {
      select = attribute(tag, 'name');
    } else if (kind === 'option' && select) {
      fields.append(select, attribute(tag, 'value'));
      select = undefined;
    }
  }
  return { action, fields };
}

// Allows the app on the consent page. Returns the parameters of the redirect.
async function consent(url, decision) {
  const page = await fetch(url);
  assert.equal(page.status, 200);
  const { action, fields } = readForm(await page.text());
  fields.append('decision', decision);
  const sent = await fetch(new URL(action, url), { method: 'POST', body: fields, redirect: 'manual' });
  assert.ok([302, 303].includes(sent.status), `${sent.status}`);
  const location = sent.headers.get('location');
  assert.ok(location.startsWith(`${REDIRECT_URI}?`), location);
  return Object.fromEntries(new URL(location).searchParams);
}

// The error of a call. The library's promises lose the status, so callbacks are used.
function refusal(client, request) {
  return new Promise((resolve, reject) => {
    client.request(request, (error, body, status) => {
      if (error) {
        resolve({ status, ...JSON.parse(error.message) });
      } else {
        reject(new Error(`${JSON.stringify(request)} was not refused`));
      }
    });
  });
}

function upload(client, file, parameters) {
  return client.upload(file, parameters, () => {});
}

function sizeAndHash(file) {
  const bytes = fs.readFileSync(file);
  return [bytes.length, crypto.createHash('sha256').update(bytes).digest('hex')];
}

// The sandbox's record of a video.
async function recorded(uri) {
  const shown = await fetch(`${BASE_URL}/_sandbox${uri}`);
  assert.equal(shown.status, 200);
  return shown.json();
}

// Every version of a video with its size and hash.
async function arrived(uri) {
  const { versions } = await recorded(uri);
  return versions.map((version) => [version.received, version.sha256]);
}

async function waitUntilPlayable(client, uri) {
  for (;;) {
    const { body } = await client.request(`${uri}?fields=upload.status,transcode.status`);
    if (body.transcode.status === 'complete') {
      assert.equal(body.upload.status, 'complete');
      return;
    }
    assert.equal(body.transcode.status, 'in_progress');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

// A token for the app alone, and one for a user who allows it.
async function authenticate() {
  // Without a token: with one, the library would never send the client's id and secret.
  const app = new Vimeo(CLIENT_ID, CLIENT_SECRET);
  const granted = await app.generateClientCredentials(['public']);
  assert.equal(granted.statusCode, 200);
  assert.equal(granted.body.scope, 'public');
  const appClient = new Vimeo(CLIENT_ID, CLIENT_SECRET, granted.body.access_token);
  const userless = await refusal(appClient, { path: '/me' });
  assert.deepEqual([userless.status, userless.error_code], [401, 8002]);
  assert.equal((await appClient.request({ method: 'DELETE', path: '/tokens' })).statusCode, 204);
  assert.equal((await refusal(appClient, { path: '/oauth/verify' })).status, 401);
  console.log('client credentials');

  const url = new URL(app.buildAuthorizationEndpoint(REDIRECT_URI, SCOPES, 'a state & more'));
  // The library leaves the port out.
  url.port = port;
  const denied = await consent(url, 'deny');
  assert.deepEqual([denied.error, denied.state, denied.code], ['access_denied', 'a state & more', undefined]);
  const allowed = await consent(url, 'allow');
  assert.equal(allowed.state, 'a state & more');
  const { body: exchanged } = await app.accessToken(allowed.code, REDIRECT_URI);
  assert.deepEqual(exchanged.scope.split(' ').sort(), [...SCOPES].sort());
  await assert.rejects(app.accessToken(allowed.code, REDIRECT_URI), /invalid_/);
  console.log('code exchange');

  const client = new Vimeo(CLIENT_ID, CLIENT_SECRET, exchanged.access_token);
  const { body: verified } = await client.request('/oauth/verify');
  assert.equal(verified.user.uri, exchanged.user.uri);
  assert.equal(verified.scope, exchanged.scope);
  console.log('verify');

  const { body: me } = await client.request({ path: '/me', query: { fields: 'uri,name,account,upload_quota.space' } });
  assert.deepEqual(Object.keys(me).sort(), ['account', 'name', 'upload_quota', 'uri']);
  assert.equal(me.uri, exchanged.user.uri);
  assert.ok(me.upload_quota.space.free > 50 * MIB);
  console.log('me');
  return client;
}

async function changeAndPlace(client, uri) {
  const privacy = { view: 'unlisted', comments: 'nobody' };
  const changes = { name: 'Renamed', description: 'Changed.', privacy };
  await client.request({ method: 'PATCH', path: uri, query: changes });
  const { body: shown } = await client.request(uri);
  assert.deepEqual([shown.name, shown.description], ['Renamed', 'Changed.']);
  assert.deepEqual([shown.privacy.view, shown.privacy.comments], ['unlisted', 'nobody']);
  // The link of an unlisted video ends with its hash.
  assert.equal(new URL(shown.link).pathname.split('/').length, 3);
  assert.ok(new URL(shown.player_embed_url).searchParams.has('h'));
  const wrong = await refusal(client, { method: 'PATCH', path: uri, query: { privacy: { comments: false } } });
  assert.deepEqual([wrong.status, wrong.error_code], [400, 2204]);
  assert.deepEqual(wrong.invalid_parameters.map(({ field }) => field), ['privacy.comments']);
  console.log('patch');

  const made = await client.request({ method: 'POST', path: '/me/projects', query: { name: 'From Node' } });
  assert.equal(made.statusCode, 201);
  const folder = made.body.uri;
  const put = await client.request({ method: 'PUT', path: `${folder}${uri}` });
  assert.equal(put.statusCode, 204);
  const { body: placed } = await client.request(`${folder}/videos?fields=uri,name`);
  assert.deepEqual([placed.total, placed.data], [1, [{ uri, name: 'Renamed' }]]);
  const { body: parent } = await client.request(`${uri}?fields=parent_folder.uri`);
  assert.deepEqual(parent, { parent_folder: { uri: folder } });
  console.log('folder');
  return folder;
}

async function replace(client, uri) {
  assert.equal(await client.replace(REPLACEMENT, uri, {}, () => {}), uri);
  const { body: versions } = await client.request(`${uri}/versions`);
  assert.equal(versions.total, 2);
  assert.equal(versions.data[0].filename, path.basename(REPLACEMENT));
  // The newest is listed first. The old one stays active until the new one is playable.
  const [newer, older] = versions.data.map((version) => version.uri);
  await waitUntilPlayable(client, newer);
  assert.equal((await client.request(newer)).body.active, true);
  assert.equal((await client.request(older)).body.active, false);
  assert.deepEqual(await arrived(uri), [sizeAndHash(FILE), sizeAndHash(REPLACEMENT)]);
  console.log('replace');
}

// Sends a file to the link of a text track or thumbnail. The library has no method for this, and takes a path only.
function putFile(client, link, file, type) {
  const headers = { 'Content-Type': type };
  const { pathname } = new URL(link);
  return client.request({ method: 'PUT', path: pathname, headers, body: fs.readFileSync(file) });
}

async function addFiles(client, uri) {
  const fields = { type: 'subtitles', language: 'en', name: 'English', active: true };
  const made = await client.request({ method: 'POST', path: `${uri}/texttracks`, query: fields });
  assert.equal(made.statusCode, 201);
  assert.equal((await putFile(client, made.body.link, TEXT_TRACK, 'text/vtt')).statusCode, 200);
  const { body: track } = await client.request(made.body.uri);
  assert.deepEqual([track.active, track.name], [true, 'English']);
  assert.deepEqual(Buffer.from(await (await fetch(track.link)).arrayBuffer()), fs.readFileSync(TEXT_TRACK));
  await assert.rejects(putFile(client, made.body.link, IMAGE, 'text/vtt'), /neither WebVTT/);
  const wrong = { ...fields, language: 'klingon' };
  const refused = await refusal(client, { method: 'POST', path: `${uri}/texttracks`, query: wrong });
  assert.deepEqual(refused.invalid_parameters.map(({ field }) => field), ['language']);
  console.log('text track');

  const { body: picture } = await client.request({ method: 'POST', path: `${uri}/pictures` });
  const activation = { method: 'PATCH', path: picture.uri, query: { active: true } };
  assert.equal((await refusal(client, activation)).status, 400);
  assert.equal((await putFile(client, picture.link, IMAGE, 'image/png')).statusCode, 200);
  assert.equal((await client.request(activation)).body.active, true);
  const { body: shown } = await client.request(`${uri}?fields=pictures.uri`);
  assert.equal(shown.pictures.uri, picture.uri);
  const { text_tracks: [{ file }], pictures: [{ file: image }] } = await recorded(uri);
  assert.deepEqual([[file.size, file.sha256], [image.size, image.sha256]], [TEXT_TRACK, IMAGE].map(sizeAndHash));
  console.log('thumbnail');
}

async function addWords(client, uri) {
  const call = async (method, path, query) => (await client.request({ method, path, query })).statusCode;
  assert.equal(await call('PUT', `${uri}/tags`, ['sea', 'summer']), 200);
  assert.equal(await call('PUT', `${uri}/tags/sun`), 204);
  assert.equal(await call('DELETE', `${uri}/tags/summer`), 204);
  const { body: tags } = await client.request(`${uri}/tags`);
  assert.deepEqual(tags.data.map(({ name }) => name), ['sea', 'sun']);
  console.log('tags');

  assert.equal(await call('POST', `${uri}/chapters`, { title: 'Start', timecode: 0 }), 201);
  const twice = { method: 'POST', path: `${uri}/chapters`, query: { title: 'Twice', timecode: 0 } };
  assert.equal((await refusal(client, twice)).status, 400);
  const { body: presets } = await client.request('/me/presets');
  const preset = presets.data[0].uri.split('/').at(-1);
  assert.equal(await call('PUT', `${uri}/presets/${preset}`), 204);
  assert.equal((await refusal(client, { method: 'PUT', path: `${uri}/presets/1` })).status, 404);
  console.log('chapters and preset');

  const made = await client.request({ method: 'POST', path: '/me/albums', query: { name: 'From Node' } });
  assert.equal(made.statusCode, 201);
  const showcase = made.body.uri;
  const { body: found } = await client.request({ path: '/me/albums', query: { query: 'from no' } });
  assert.equal(found.data[0].uri, showcase);
  assert.equal(await call('PUT', `${showcase}${uri}`), 204);
  assert.equal((await client.request(`${showcase}/videos`)).body.data[0].uri, uri);
  assert.equal(await call('DELETE', showcase), 204);
  console.log('showcase');
}

// Seven more videos, and all of them by pages.
async function fillAndList(client) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'small-'));
  const small = [];
  for (let number = 0; number < 7; number += 1) {
    const file = path.join(directory, `small-${number}.mp4`);
    fs.writeFileSync(file, crypto.randomBytes(1000 + number));
    small.push(await upload(client, file, { name: `Small ${number}` }));
    assert.deepEqual(await arrived(small.at(-1)), [sizeAndHash(file)]);
  }
  fs.rmSync(directory, { recursive: true });

  const listed = [];
  const sizes = [];
  let next = '/me/videos?per_page=3&fields=uri,name&sort=date&direction=asc';
  while (next) {
    // The library sends the query of a path twice.
    const { body: page } = await client.request(next);
    assert.deepEqual([page.total, page.per_page, page.page], [8, 3, sizes.length + 1]);
    sizes.push(page.data.length);
    listed.push(...page.data.map((video) => video.uri));
    next = page.paging.next;
  }
  assert.deepEqual(sizes, [3, 3, 2]);
  assert.deepEqual(listed.slice(1), small);
  console.log('list');
  return listed;
}

async function main() {
  const client = await authenticate();

  // The connection breaks during the upload. The received bytes are not sent again.
  const fault = { route: 'PATCH /files/*', kind: 'cut-during', bytes: 20 * MIB };
  const made = await fetch(`${BASE_URL}/_sandbox/faults`, { method: 'POST', body: JSON.stringify(fault) });
  assert.equal(made.status, 201);
  const uri = await upload(client, FILE, { name: 'From Node', description: 'Fifty mebibytes.' });
  assert.deepEqual(await arrived(uri), [sizeAndHash(FILE)]);
  await waitUntilPlayable(client, uri);
  console.log('upload');

  const folder = await changeAndPlace(client, uri);
  await replace(client, uri);
  await addFiles(client, uri);
  await addWords(client, uri);
  const listed = await fillAndList(client);
  assert.equal(listed[0], uri);

  for (const gone of listed) {
    assert.equal((await client.request({ method: 'DELETE', path: gone })).statusCode, 204);
    const missing = await refusal(client, { path: gone });
    assert.deepEqual([missing.status, missing.error_code], [404, 5000]);
  }
  assert.equal((await client.request('/me/videos')).body.total, 0);
  assert.equal((await client.request({ method: 'DELETE', path: folder })).statusCode, 204);
  console.log('delete');
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
