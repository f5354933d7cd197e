// Starts @uppy/companion as its own `companion` command does, but on a free port of 127.0.0.1, which it prints. Run it
// with DIRECTORY (where it may keep files) in the environment.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { app, socket } from '@uppy/companion';
import express from 'express';

const host = '127.0.0.1';
const { app: companion } = app({
  server: { host, protocol: 'http' },
  filePath: process.env.DIRECTORY,
  secret: randomBytes(32).toString('hex'),
  corsOrigins: true,
  enableUrlEndpoint: true,
  // The source and the link are on this machine.
  allowLocalUrls: true,
  uploadUrls: [/^http:\/\/127\.0\.0\.1:/],
  // The link is for a file whose length is known.
  tusDeferredUploadLength: false,
  metrics: false,
});
const server = express().use(express.json()).use(companion).listen(0, host);
await once(server, 'listening');
socket(server);
console.log(JSON.stringify({ base_url: `http://${host}:${server.address().port}` }));
