// The pages for users, seen and used as a person with a keyboard does.

const assert = require('node:assert/strict');
const { LOOKS, launch, look, open, pressOn, tabTo, typeInto } = require('./watch.js');

const { CLIENT_ID, REDIRECT_URI } = process.env;

function link(more) {
  const query = new URLSearchParams({
    response_type: 'code', client_id: CLIENT_ID, redirect_uri: REDIRECT_URI,
    scope: 'public private upload edit <script>alert(1)</script>', state: 'a state', ...more,
  });
  return `/oauth/authorize?${query}`;
}

// Answers in the app's place. Gives where the browser was sent.
async function answered(page) {
  await page.waitForURL((url) => url.href.startsWith(REDIRECT_URI));
  return new URL(page.url()).searchParams;
}

async function ask(browser, style) {
  const watched = await open(browser, style);
  const { page, expected } = watched;
  await page.route(`${REDIRECT_URI}**`, (route) => route.fulfill({
    contentType: 'text/html', body: '<!doctype html><link rel="icon" href="data:,"><title>The app</title>',
  }));

  await page.goto(link());
  await look(watched, 'consent');
  await pressOn(page, page.locator('#scope-upload'), 'Space');
  assert.equal(await page.locator('#scope-upload').isChecked(), false);
  await look(watched, 'consent-declined');
  await pressOn(page, page.getByRole('button', { name: 'Allow' }));
  const allowed = await answered(page);
  assert.ok(allowed.get('code'));
  assert.equal(allowed.get('state'), 'a state');

  await page.goto(link());
  await pressOn(page, page.getByRole('button', { name: 'Deny' }));
  assert.equal((await answered(page)).get('error'), 'access_denied');

  expected.push(/status of 400/);
  await page.goto(link({ redirect_uri: 'http://elsewhere.example/' }));
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

async function main() {
  const browser = await launch();
  try {
    for (const style of LOOKS) {
      await ask(browser, style);
      console.log(style.name);
    }
  } finally {
    await browser.close();
  }
}

main();
