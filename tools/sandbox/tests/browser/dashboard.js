// The dashboard, used with the keyboard.

const assert = require('node:assert/strict');
const { control, isLive, makeToken, row } = require('./actions.js');
const { rejoin } = require('./reconnect.js');
const { LOOKS, api, launch, look, open, pressOn, tabTo, typeInto } = require('./watch.js');

const { ACCESS_TOKEN } = process.env;
const EVIL = '<img src=x onerror=alert(1)>';
const LONG = 'https://app.example.com/a/rather/long/way/back/from/vimeo/to/where/one/came/from?with=a&query=too';
const MANY = 1200;

// Content for every table, with markup in every foreign text.
async function furnish() {
  await control('POST', 'reset');
  await control('POST', 'apps', { name: EVIL, redirect_uris: ['http://localhost:8080/callback', LONG] });
  await control('POST', 'users', { name: EVIL, plan: 'starter', quota: { periodic: { max: 1000000, used: 400000 } } });
  const headers = { 'User-Agent': EVIL, 'Content-Type': 'application/json', 'Tus-Resumable': '1.0.0' };
  const body = JSON.stringify({ name: EVIL, upload: { approach: 'tus', size: 2048 } });
  const video = await (await api('POST', '/me/videos', { headers, body })).json();
  await upload(video.upload.upload_link, 0);
  await api('GET', '/%3Cscript%3Ealert(1)%3C/script%3E?q=%3Cscript%3E', { headers });
  return video;
}

async function upload(link, offset) {
  const { pathname } = new URL(link);
  const sent = await api('PATCH', pathname, {
    headers: { 'Tus-Resumable': '1.0.0', 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' },
    body: Buffer.alloc(1024, 7),
  });
  assert.equal(sent.status, 204);
}

async function makeApp(page) {
  await pressOn(page, page.locator('#apps ~ .forms summary', { hasText: 'Create an app' }));
  await typeInto(page, page.locator('#app-name'), 'Made by hand');
  await typeInto(page, page.locator('#app-uris'), 'http://localhost:9000/back');
  await pressOn(page, page.getByRole('button', { name: 'Create the app' }));
  await row(page, 'app-rows', 'Made by hand').waitFor();

  await pressOn(page, page.locator('summary', { hasText: 'Add a redirect URI' }));
  await tabTo(page, page.locator('#uri-app'));
  await page.keyboard.type('Made by');
  await typeInto(page, page.locator('#uri-new'), 'nonsense');
  await page.keyboard.press('Enter');
  await page.locator('.complaint', { hasText: 'nonsense' }).waitFor();
  await page.keyboard.press('Control+A');
  await page.keyboard.type('http://localhost:9000/other');
  await page.keyboard.press('Enter');
  await row(page, 'app-rows', '/other').waitFor();
  assert.ok((await row(page, 'app-rows', '/other').textContent()).includes('/back'));
}

async function changePlan(page) {
  await pressOn(page, page.locator('summary', { hasText: 'Change a plan' }));
  await tabTo(page, page.locator('#plan-plan'));
  await page.keyboard.type('studio');
  await pressOn(page, page.getByRole('button', { name: 'Change the plan' }));
  await row(page, 'user-rows', 'studio').waitFor();
}

async function leadVideo(page, video) {
  const shown = row(page, 'video-rows', EVIL);
  await shown.getByText('1 KiB of 2 KiB').waitFor();
  await upload(video.upload.upload_link, 1024);
  await shown.getByText('transcode starting').waitFor();
  await pressOn(page, shown.getByRole('button', { name: 'Next step' }));
  await shown.getByText('transcoding', { exact: true }).waitFor();
  await pressOn(page, shown.getByRole('button', { name: 'Next step' }));
  await shown.getByText('available').waitFor();
}

async function breakThings(watched) {
  const { page, expected } = watched;
  const down = page.getByRole('button', { name: 'Vimeo is down' });
  await pressOn(page, down, 'Space');
  await page.locator('button[aria-pressed=true]', { hasText: 'Vimeo is down' }).waitFor();
  await look(watched, 'dashboard-fault');
  assert.equal((await api('GET', '/me')).status, 503);
  const hit = page.locator('#journal-rows tr.entry').first();
  await hit.locator('.status', { hasText: '503' }).waitFor();
  assert.equal(await hit.locator('.tag').textContent(), 'status');
  await page.locator('button[aria-pressed=false]', { hasText: 'Vimeo is down' }).waitFor();
  assert.equal((await api('GET', '/me')).status, 200);

  await tabTo(page, page.locator('#switch-times'));
  await page.keyboard.type('until');
  await pressOn(page, down, 'Space');
  await pressOn(page, page.getByRole('button', { name: /^Remove fault/ }));
  await page.locator('button[aria-pressed=false]', { hasText: 'Vimeo is down' }).waitFor();
  await page.locator('#fault-none', { hasText: 'No faults' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'faults');
  assert.equal((await api('GET', '/me')).status, 200);

  await pressOn(page, page.locator('summary', { hasText: 'Another fault' }));
  expected.push(/status of 400/);
  await pressOn(page, page.getByRole('button', { name: 'Create the fault' }));
  await page.locator('#fault-error', { hasText: 'needs a `route`' }).waitFor();
  await look(watched, 'dashboard-complaint');
  await typeInto(page, page.locator('#fault-route'), 'GET /<b>x</b>');
  await typeInto(page, page.locator('#fault-members'), '{"status": 418}');
  await pressOn(page, page.getByRole('button', { name: 'Create the fault' }));
  await row(page, 'fault-rows', 'GET /<b>x</b>').waitFor();
}

async function readJournal(watched) {
  const { page } = watched;
  const entries = page.locator('#journal-rows tr.entry');
  await typeInto(page, page.locator('#journal-filter'), '503');
  await page.waitForFunction(() => {
    const shown = [...document.querySelectorAll('#journal-rows tr.entry')];
    return shown.length > 0 && shown.every((entry) => entry.textContent.includes('503'));
  });
  await page.keyboard.press('Control+A');
  await page.keyboard.type('post videos');
  await page.waitForFunction(() => document.querySelectorAll('#journal-rows tr.entry').length === 1);
  await pressOn(page, entries.first().locator('.opener'));
  const details = page.locator('#journal-rows tr.details');
  await details.waitFor();
  assert.ok((await details.textContent()).includes(EVIL));
  await look(watched, 'dashboard-details');
  await page.keyboard.press('Enter');
  await details.waitFor({ state: 'detached' });
  await page.locator('#journal-filter').fill('');

  await pressOn(page, page.locator('#journal-pause'), 'Space');
  const before = await entries.first().textContent();
  await api('GET', '/oauth/verify');
  await page.locator('#journal-note', { hasText: '1 more since the pause' }).waitFor();
  assert.equal(await entries.first().textContent(), before);
  await page.keyboard.press('Space');
  await page.waitForFunction((old) => document.querySelector('#journal-rows tr').textContent !== old, before);
}

// The text of a pending request.
async function tellWaitingFromCut(watched) {
  const { page } = watched;
  const newest = page.locator('#journal-rows tr.entry').first();
  const { id } = await control('POST', 'faults', { route: 'GET /me', kind: 'hold' });
  const held = api('GET', '/me');
  await newest.locator('.status', { hasText: 'waiting' }).waitFor();
  await pressOn(page, newest.locator('.opener'));
  await page.locator('#journal-rows tr.details', { hasText: 'not yet' }).waitFor();
  await look(watched, 'dashboard-waiting');
  await control('DELETE', `faults/${id}`);
  assert.equal((await held).status, 200);
  await newest.locator('.status', { hasText: '200' }).waitFor();

  await control('POST', 'faults', { route: 'GET /me', kind: 'cut' });
  await assert.rejects(api('GET', '/me'));
  await newest.locator('.status', { hasText: 'cut' }).waitFor();
  assert.match(await newest.textContent(), /cut, fault: +cut/);
  await pressOn(page, newest.locator('.opener'));
  await page.locator('#journal-rows tr.details', { hasText: 'the connection was cut' }).waitFor();

  const again = await control('POST', 'faults', { route: 'GET /me', kind: 'hold' });
  const leaving = new AbortController();
  const abandoned = api('GET', '/me', { signal: leaving.signal });
  await newest.locator('.status', { hasText: 'waiting' }).waitFor();
  leaving.abort();
  await assert.rejects(abandoned);
  await newest.locator('.status', { hasText: 'left' }).waitFor();
  await control('DELETE', `faults/${again.id}`);
}

// Nothing is cut off at the side if there is space for it, and the buttons beside the faults never are.
async function fits(page, { viewport }) {
  for (const part of await page.locator(viewport.width > 1000 ? '.scroll' : '.scroll.tight').all()) {
    const [inner, outer] = await part.evaluate(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth]);
    assert.ok(inner <= outer, `${await part.getAttribute('aria-label')}: ${inner} in ${outer}`);
  }
}

async function reset(watched) {
  const { page } = watched;
  const dialog = page.locator('#reset-dialog');
  await pressOn(page, page.locator('#reset-ask'));
  await dialog.waitFor();
  await look(watched, 'dashboard-reset');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await page.evaluate(() => document.activeElement.id), 'reset-ask');
  await page.keyboard.press('Enter');
  await pressOn(page, dialog.getByRole('button', { name: 'Reset' }));
  await dialog.waitFor({ state: 'hidden' });
  await row(page, 'app-rows', 'Made by hand').waitFor({ state: 'detached' });
  await page.locator('#journal-note', { hasText: 'No requests yet' }).waitFor();
  assert.equal(await page.locator('#app-rows tr').count(), 1);
  await look(watched, 'dashboard-empty');
}

async function use(browser, style) {
  const video = await furnish();
  const watched = await open(browser, style);
  const { page } = watched;
  await page.goto('/_sandbox/');
  await isLive(page);
  await page.waitForFunction(() => document.querySelectorAll('#journal-rows .opener').length > 2);
  await look(watched, 'dashboard');
  await breakThings(watched);
  await readJournal(watched);
  await tellWaitingFromCut(watched);
  await leadVideo(page, video);
  await makeApp(page);
  await makeToken(page);
  await changePlan(page);
  await look(watched, 'dashboard-made');
  await fits(page, style);
  await page.setViewportSize({ width: 320, height: 640 });
  await look(watched, 'dashboard-smallest');
  await page.setViewportSize(style.viewport);
  await reset(watched);
  await watched.context.close();
}

// Many requests, a lost connection, and a browser without scripts.
async function strain(browser) {
  await furnish();
  const watched = await open(browser, LOOKS[0]);
  const { page, expected } = watched;
  await page.goto('/_sandbox/');
  await isLive(page);
  for (let sent = 0; sent < MANY; sent += 50) {
    await Promise.all(Array.from({ length: 50 }, () => api('GET', '/oauth/verify')));
  }
  await page.locator('#journal-note', { hasText: 'The newest 200' }).waitFor();
  await page.waitForFunction((many) => Number(document.querySelector('.opener').textContent) > many, MANY);
  assert.equal(await page.locator('#journal-rows tr').count(), 200);

  expected.push(/ERR_FAILED/);
  await page.route('**/journal/live', (route) => route.abort());
  await page.reload();
  await page.locator('#journal-state', { hasText: 'Connection lost, trying again' }).waitFor();
  await page.unroute('**/journal/live');
  await isLive(page);
  await watched.context.close();

  const still = await open(browser, LOOKS[0], { javaScriptEnabled: false });
  await still.page.goto('/_sandbox/');
  assert.ok(await still.page.locator('.without-script').isVisible());
  const text = await still.page.locator('main').innerText();
  for (const part of [ACCESS_TOKEN, EVIL, '/oauth/verify', 'static']) {
    assert.ok(text.includes(part), part);
  }
  assert.equal(await still.page.locator('#journal-rows tr').count(), 50);
  assert.equal(await still.page.locator('main button:visible').count(), 0);
  await still.context.close();

  // The same page without its script, where others may run.
  const bare = await open(browser, LOOKS[0]);
  bare.expected.push(/ERR_FAILED/);
  await bare.page.route('**/*.js', (route) => route.abort());
  await bare.page.goto('/_sandbox/');
  await look(bare, 'dashboard-without-script');
  await bare.context.close();
}

// Changes made while the page waits for an older refresh are neither lost nor shown late.
async function haste(browser) {
  await control('POST', 'reset');
  const { page, context } = await open(browser, LOOKS[0]);
  // The page refreshes only after changes.
  await page.addInitScript(() => { globalThis.setInterval = () => 0; });
  await page.goto('/_sandbox/');
  await isLive(page);
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  let ask;
  const asked = new Promise((resolve) => { ask = resolve; });
  let held = false;
  await page.route('**/_sandbox/', async (route) => {
    if (held) {
      await route.continue();
      return;
    }
    held = true;
    const response = await route.fetch();
    ask();
    await released;
    await route.fulfill({ response });
  });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await asked;

  await pressOn(page, page.locator('summary', { hasText: 'Add a redirect URI' }));
  await tabTo(page, page.locator('#uri-new'));
  for (const uri of ['http://localhost:9000/one', 'http://localhost:9000/two']) {
    await page.keyboard.type(uri);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#uri-new').value === '');
  }
  const { apps } = await control('GET', 'apps');
  assert.deepEqual(apps[0].redirect_uris.slice(-2), ['http://localhost:9000/one', 'http://localhost:9000/two']);
  release();
  await row(page, 'app-rows', '/two').waitFor();

  await page.getByRole('button', { name: 'Vimeo is down' }).evaluate((button) => { button.click(); button.click(); });
  await page.locator('button[aria-pressed=true]', { hasText: 'Vimeo is down' }).waitFor();
  assert.equal((await control('GET', 'faults')).faults.length, 1);
  await control('DELETE', 'faults');
  await context.close();
}

// Runs the steps with these names: looks, and what is the same in all of them.
async function main(names) {
  const steps = new Map([['strain', strain], ['haste', haste], ['rejoin', rejoin]]);
  for (const style of LOOKS) {
    steps.set(style.name, (browser) => use(browser, style));
  }
  const browser = await launch();
  try {
    for (const name of names) {
      await steps.get(name)(browser);
      console.log(name);
    }
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2));
