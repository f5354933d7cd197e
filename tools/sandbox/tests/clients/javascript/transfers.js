// Uploads a file to several links concurrently, with the public tus client for JavaScript.
//
// Run it with FILE, CHUNK_BYTES and LINKS (a JSON array) in the environment. It prints a line for each link: "complete",
// or "failed" and the status that ended it.

const fs = require('node:fs');
const tus = require('tus-js-client');

const { FILE, CHUNK_BYTES, LINKS } = process.env;

function transfer(link) {
  return new Promise((resolve) => {
    const upload = new tus.Upload(fs.createReadStream(FILE), {
      // Not `endpoint`: the uploads exist already.
      uploadUrl: link,
      chunkSize: Number(CHUNK_BYTES),
      retryDelays: [0, ...Array(25).fill(200)],
      onSuccess: () => resolve('complete'),
      onError: (error) => resolve(`failed ${error.originalResponse?.getStatus()}`),
    });
    upload.start();
  });
}

async function main() {
  const outcomes = await Promise.all(JSON.parse(LINKS).map(transfer));
  console.log(outcomes.join('\n'));
}

main();
