// The pages for users, used with the keyboard.

const assert = require('node:assert/strict');
const http = require('node:http');
const { BASE_URL, LOOKS, launch, look, open, pressOn, tabTo, typeInto } = require('./watch.js');

const { CLIENT_ID } = process.env;

// The app that the browser is redirected to.
async function startApp() {
  const server = http.createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!doctype html><link rel="icon" href="data:,"><title>The app</title>');
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const uri = `http://127.0.0.1:${server.address().port}/back`;
  const { apps } = await (await fetch(`${BASE_URL}/_sandbox/apps`)).json();
  const known = apps.find((app) => app.client_id === CLIENT_ID);
  const settings = await fetch(`${BASE_URL}/_sandbox${known.uri}`, { method: 'PATCH', body: JSON.stringify({ redirect_uris: [uri] }) });
  assert.equal(settings.status, 200);
  return { server, uri };
}

function link(uri) {
  const query = new URLSearchParams({
    response_type: 'code', client_id: CLIENT_ID, redirect_uri: uri,
    scope: 'public private upload edit <script>alert(1)</script>', state: 'a state',
  });
  return `/oauth/authorize?${query}`;
}

// The parameters of the redirect.
async function answered(page, uri) {
  await page.waitForURL((url) => url.href.startsWith(uri));
  return new URL(page.url()).searchParams;
}

async function ask(browser, style, uri) {
  const watched = await open(browser, style);
  const { page, expected } = watched;
  await page.goto(link(uri));
  await look(watched, 'consent');
  await pressOn(page, page.locator('#scope-upload'), 'Space');
  assert.equal(await page.locator('#scope-upload').isChecked(), false);
  await look(watched, 'consent-declined');
  await pressOn(page, page.getByRole('button', { name: 'Allow' }));
  const allowed = await answered(page, uri);
  assert.ok(allowed.get('code'));
  assert.equal(allowed.get('state'), 'a state');

  await page.goto(link(uri));
  await pressOn(page, page.getByRole('button', { name: 'Deny' }));
  assert.equal((await answered(page, uri)).get('error'), 'access_denied');

  expected.push(/status of 400/);
  await page.goto(link('http://elsewhere.example/'));
  await look(watched, 'consent-error');

  await page.goto('/activate');
  await look(watched, 'device');
  await typeInto(page, page.locator('#user_code'), 'XXXX-<b>x');
  await page.keyboard.press('Enter');
  await page.locator('.complaint').waitFor();
  await tabTo(page, page.getByRole('button', { name: 'Continue' }));
  await look(watched, 'device-complaint');
  await watched.context.close();
}

// Runs the looks with these names.
async function main(names) {
  const { server, uri } = await startApp();
  const browser = await launch();
  try {
    for (const style of LOOKS.filter(({ name }) => names.includes(name))) {
      await ask(browser, style, uri);
      console.log(style.name);
    }
  } finally {
    await browser.close();
    server.close();
  }
}

main(process.argv.slice(2));
