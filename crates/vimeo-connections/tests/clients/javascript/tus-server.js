// A Vimeo whose upload links lead to @tus/server: API requests are forwarded to the sandbox, and its links are replaced by
// links of @tus/server. A complete upload is then sent to the original link, so that the sandbox continues with it.
//
// Run it with SANDBOX (a base URL) and DIRECTORY (for the bytes of @tus/file-store) in the environment. It prints its own
// base URL, and ends when its standard input is closed. GET /_requests returns the requests to @tus/server and its
// responses, oldest first; GET /_links returns the links.

const fs = require('node:fs');
const http = require('node:http');
const { FileStore } = require('@tus/file-store');
const { Server } = require('@tus/server');

const { SANDBOX, DIRECTORY } = process.env;
const FOLDER = '/elsewhere';

const requests = [];
// The sandbox's link -> the link of @tus/server, and the identifier there -> the sandbox's link.
const links = new Map();
const origins = new Map();

async function sendOn(id) {
  const answer = await fetch(origins.get(id), {
    method: 'PATCH',
    body: fs.readFileSync(`${DIRECTORY}/${id}`),
    headers: {
      'Tus-Resumable': '1.0.0',
      'Upload-Offset': '0',
      'Content-Type': 'application/offset+octet-stream',
    },
  });
  if (answer.status !== 204) {
    throw new Error(`the sandbox answered ${answer.status}`);
  }
}

const tus = new Server({
  path: FOLDER,
  datastore: new FileStore({ directory: DIRECTORY }),
  // How long one who sends is borne with when another one comes.
  lockDrainTimeout: 200,
  onUploadFinish: async (_request, upload) => {
    await sendOn(upload.id);
    return {};
  },
});

// The link of @tus/server in place of one of the sandbox's, made there where there is none yet.
async function exchange(link, size) {
  if (!links.has(link)) {
    const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': `${size}` };
    const made = await fetch(`${baseUrl()}${FOLDER}`, { method: 'POST', headers });
    const location = made.headers.get('location');
    links.set(link, location);
    origins.set(location.split('/').pop(), link);
  }
  return links.get(link);
}

async function relay(request, response) {
  const pieces = await request.toArray();
  const sent = Buffer.concat(pieces);
  const { host: _host, connection: _connection, ...headers } = request.headers;
  const asked = http.request(`${SANDBOX}${request.url}`, { method: request.method, headers });
  asked.end(sent);
  const answer = await new Promise((resolve, reject) => asked.on('response', resolve).on('error', reject));
  let body = Buffer.concat(await answer.toArray());
  const size = sent.length > 0 && request.url.startsWith('/me/videos') ? JSON.parse(sent).upload?.size : undefined;
  if (body.includes('upload_link')) {
    const video = JSON.parse(body);
    if (video.upload?.upload_link) {
      video.upload.upload_link = await exchange(video.upload.upload_link, size);
    }
    body = Buffer.from(JSON.stringify(video));
  }
  const { 'content-length': _length, 'transfer-encoding': _encoding, connection: _kept, ...kept } = answer.headers;
  response.writeHead(answer.statusCode, { ...kept, 'content-length': body.length }).end(body);
}

const server = http.createServer((request, response) => {
  if (request.url.startsWith(FOLDER)) {
    const entry = { method: request.method, offset: request.headers['upload-offset'], status: null };
    requests.push({ ...entry, authorization: request.headers.authorization ?? null });
    const index = requests.length - 1;
    response.on('finish', () => {
      requests[index].status = response.statusCode;
    });
    return tus.handle(request, response);
  }
  if (request.url === '/_requests') {
    return response.end(JSON.stringify(requests));
  }
  if (request.url === '/_links') {
    return response.end(JSON.stringify([...links.values()]));
  }
  return relay(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
});

const baseUrl = () => `http://127.0.0.1:${server.address().port}`;

server.listen(0, '127.0.0.1', () => console.log(baseUrl()));
process.stdin.on('end', () => process.exit()).resume();
