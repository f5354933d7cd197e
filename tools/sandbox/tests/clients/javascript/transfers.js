// Sends a file to upload links, all at once, as the public client of tus for JavaScript does it.
//
// Run it with FILE, CHUNK_BYTES and LINKS (a JSON array) in the environment. It prints a line for each link: "complete",
// or "failed" and the status that ended it.

const fs = require('node:fs');
const tus = require('tus-js-client');

const { FILE, CHUNK_BYTES, LINKS } = process.env;

function transfer(link) {
  return new Promise((resolve) => {
    const upload = new tus.Upload(fs.createReadStream(FILE), {
      // Not `endpoint`: there are no uploads to be made at the link, only bytes to be sent there.
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
