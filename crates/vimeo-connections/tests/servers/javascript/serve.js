// A file server for the tests: `node serve.js express|http-server|tus DIRECTORY`. It prints its base URL, and ends when its
// standard input does. NODE_PATH must lead to the package. An upload of @tus/server is at /files/{name in DIRECTORY}.

const http = require('node:http');

const [name, directory] = process.argv.slice(2);

function listener() {
  switch (name) {
    case 'express': {
      const express = require('express');
      return express().use(express.static(directory));
    }
    case 'http-server':
      return require('http-server').createServer({ root: directory, showDir: false }).server;
    case 'tus': {
      const { FileStore } = require('@tus/file-store');
      const { Server } = require('@tus/server');
      const tus = new Server({ path: '/files', datastore: new FileStore({ directory }) });
      return tus.handle.bind(tus);
    }
    default:
      throw new Error(`no server is called ${name}`);
  }
}

// Some of these throw outside of any request when a client hangs up; a server in use would be started again.
process.on('uncaughtException', () => {});

const made = listener();
const server = made instanceof http.Server ? made : http.createServer(made);
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.on('end', () => process.exit()).resume();
