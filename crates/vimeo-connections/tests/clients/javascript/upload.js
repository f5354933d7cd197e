// A video uploaded as a customer's program for Node does it: it asks the API for a link, sends the bytes there with
// tus-js-client, and waits for the end of the job. It knows no credentials of Vimeo's.
//
// Run it with BASE_URL, API_KEY, CONNECTION_ID, FILE, USER_AGENT and TRANSCRIPT in the environment. All that the API answers
// is written to the file TRANSCRIPT, as JSON.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const axios = require('axios');
const tus = require('tus-js-client');

const { BASE_URL, API_KEY, CONNECTION_ID, FILE, USER_AGENT, TRANSCRIPT } = process.env;

const transcript = [];

const api = axios.create({
  baseURL: `${BASE_URL}/v1`,
  headers: { Authorization: API_KEY, 'Content-Type': 'application/json', 'User-Agent': USER_AGENT },
});

api.interceptors.response.use((response) => {
  const { status, headers, data } = response;
  transcript.push({ request: `${response.config.method} ${response.config.url}`, status, headers, data });
  return response;
});

function askForLink(idempotencyKey) {
  const wish = { source: { size: fs.statSync(FILE).size }, name: 'Sent by its owner' };
  const headers = { 'Idempotency-Key': idempotencyKey };
  return api.post(`/vimeo-connections/${CONNECTION_ID}/uploads`, wish, { headers });
}

function send(link) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(fs.createReadStream(FILE), {
      // Not `endpoint`: there are no uploads to be made at the link, only bytes to be sent there.
      uploadUrl: link,
      headers: { 'User-Agent': USER_AGENT },
      retryDelays: [0, ...Array(25).fill(200)],
      onSuccess: resolve,
      onError: reject,
    });
    upload.start();
  });
}

async function waitForEnd(jobId) {
  for (;;) {
    const { data: job } = await api.get(`/jobs/${jobId}`);
    if (job.data.status !== 'in-progress') {
      return job;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function main() {
  const made = await askForLink('one-upload');
  assert.equal(made.status, 201);
  const { jobId, uploadLink, vimeoUri } = made.data.data;
  assert.deepEqual(made.data, { success: true, data: { jobId, uploadLink, vimeoUri } });
  const again = await askForLink('one-upload');
  assert.equal(again.status, 201);
  assert.equal(again.headers['idempotent-replayed'], 'true');
  assert.deepEqual(again.data, made.data);
  console.log('linked');

  await send(uploadLink);
  console.log('sent');

  const job = await waitForEnd(jobId);
  assert.equal(job.job_id, jobId);
  assert.equal(job.success, true);
  assert.equal(job.data.status, 'completed');
  assert.equal(job.data.vimeoUri, vimeoUri);
  const { data: listed } = await api.get('/jobs');
  assert.deepEqual(listed.items.map((item) => item.job_id), [jobId]);
  console.log('completed');
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => fs.writeFileSync(TRANSCRIPT, JSON.stringify(transcript)));
