// What the scripts share: the API of the service, the sandbox, signing in, and a page in every look.

const assert = require('node:assert/strict');
const watch = require('../../../../tools/sandbox/tests/browser/watch.js');

const { BASE_URL, SANDBOX_URL, API_KEY, CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN } = process.env;
const API = '/pictoryapis/v1';
// Markup, quotes, text from right to left, and a word that cannot be broken.
const NASTY = `<img src=x onerror=alert(1)> "'&amp; \u0645\u0631\u062d\u0628\u0627 ${'w'.repeat(70)}`;
const FILM = `${SANDBOX_URL}/_sandbox/film.avi`;
const LONG_WAIT = { timeout: 60_000 };
// `fetch` waits forever otherwise.
const inTime = () => ({ signal: AbortSignal.timeout(LONG_WAIT.timeout) });

// A request to the API, which must have this status; the body of the response.
async function api(method, path, { body, key = API_KEY, status = 200 } = {}) {
  const reply = await fetch(`${BASE_URL}${API}${path}`, {
    method, headers: { Authorization: key, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
    ...inTime(),
  });
  const text = await reply.text();
  assert.equal(reply.status, status, `${method} ${path}: ${text}`);
  return text ? JSON.parse(text) : undefined;
}

// A request to the control API of the sandbox.
async function control(method, path, body) {
  const reply = await fetch(`${SANDBOX_URL}/_sandbox/${path}`, { method, body: body && JSON.stringify(body), ...inTime() });
  const text = await reply.text();
  assert.ok(reply.ok, `${method} ${path}: ${text}`);
  return text ? JSON.parse(text) : undefined;
}

// Allows the app to send browsers back to the service.
async function registerCallback() {
  const { apps } = await control('GET', 'apps');
  const { uri } = apps.find(({ client_id: id }) => id === CLIENT_ID);
  await control('PATCH', uri.slice(1), { redirect_uris: [`${BASE_URL}/connect/callback`] });
}

async function createConnection(name, more = {}) {
  const body = {
    name, description: NASTY, enabled: true, clientIdentifier: CLIENT_ID, clientSecret: CLIENT_SECRET,
    accessToken: ACCESS_TOKEN, ...more,
  };
  const { data, ...rest } = await api('POST', '/vimeo-connections', { body, status: 201 });
  return (data ?? rest).connectionId;
}

// Starts an upload over the API; its job.
async function submit(connection, name, url = FILM) {
  const body = { name, description: NASTY, source: { url } };
  const { data } = await api('POST', `/vimeo-connections/${connection}/uploads`, { body, status: 202 });
  return data.jobId;
}

// Waits until a job is as expected.
async function waitForJob(job, isExpected) {
  for (let tries = 0; tries < 600; tries += 1) {
    const { data } = await api('GET', `/jobs/${job}`);
    if (isExpected(data)) {
      return data;
    }
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  return assert.fail(`the job ${job} did not become as expected`);
}

// Lets Vimeo transcode the video of a job to its end.
async function transcode(job) {
  const { vimeoUri } = await waitForJob(job, ({ phase }) => phase === 'transcoding');
  const number = vimeoUri.split('/').pop();
  await control('POST', `videos/${number}/step`);
  await control('POST', `videos/${number}/step`);
}

const button = (page, name) => page.getByRole('button', { name, exact: true });
const link = (page, name) => page.getByRole('link', { name, exact: true });

async function signIn(page, key = API_KEY) {
  await page.goto('/dashboard/sign-in');
  await page.locator('#key').fill(key);
  await button(page, 'Sign in').click();
  await page.waitForURL('**/dashboard/connections');
}

// Signs in with a link, once.
async function useLink(page, path) {
  await page.goto(path);
  await page.locator('form button').click();
  await page.waitForURL('**/dashboard/connections');
}

// Opens a page, which must have this status.
async function visit(page, path, status = 200) {
  // A page that loads itself again at the same time can win.
  const first = await page.goto(path).catch((error) => {
    assert.match(error.message, /interrupted by another navigation/);
  });
  const response = first ?? await page.goto(path);
  assert.equal(response.status(), status, path);
}

// Fills in fields by their IDs.
async function fill(page, fields) {
  for (const [id, text] of Object.entries(fields)) {
    await page.locator(`#${id}`).fill(text);
  }
}

// The credentials of the sandbox, for the forms.
const APP = { clientIdentifier: CLIENT_ID, clientSecret: CLIENT_SECRET };

// Decides on the consent page, but does not follow the redirect: its address.
async function decide(page, decision) {
  const fields = await page.locator('form').evaluate((form) => [...new FormData(form)]);
  const body = new URLSearchParams([...fields, ['decision', decision]]);
  const reply = await fetch(`${SANDBOX_URL}/oauth/authorize`, { method: 'POST', body, redirect: 'manual', ...inTime() });
  assert.equal(reply.status, 302);
  return reply.headers.get('location');
}

// Looks at a page in every look.
async function lookAt(watched, name) {
  const { page } = watched;
  for (const style of watch.LOOKS) {
    await page.emulateMedia({ colorScheme: style.colorScheme });
    await page.setViewportSize(style.viewport);
    await watch.look({ ...watched, look: style }, name);
  }
  await page.setViewportSize(watch.LOOKS[0].viewport);
}

module.exports = {
  ...watch, APP, FILM, LONG_WAIT, NASTY, api, button, control, createConnection, decide, fill, link, lookAt, registerCallback, signIn, submit, transcode, useLink,
  visit, waitForJob,
};
