// The dashboard of a sandbox that is stopped and started again.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const readline = require('node:readline');
const { isLive, makeToken, row } = require('./actions.js');
const { LOOKS, look, open, pressOn, tabTo } = require('./watch.js');

const { SANDBOX } = process.env;

// A sandbox that can be stopped and started again at the same address.
async function startSandbox(port = 0) {
  const child = spawn(SANDBOX, ['--listen', `127.0.0.1:${port}`, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const said = once(readline.createInterface(child.stdout), 'line').then(([line]) => line);
  const line = await Promise.race([said, ended.then(() => undefined)]);
  if (line === undefined) {
    // The port is free only once all its holders have closed it.
    return startSandbox(port);
  }
  const started = JSON.parse(line);
  const get = (path) => fetch(started.base_url + path, { headers: { Authorization: `bearer ${started.access_token}` } });
  const stop = () => { child.kill('SIGKILL'); return ended; };
  return { ...started, get, stop };
}

// The connection breaks while a person reads, and returns: to the same sandbox, then to a new one at its address.
async function rejoin(browser) {
  let sandbox = await startSandbox();
  try {
    const baseURL = sandbox.base_url;
    const watched = await open(browser, LOOKS[0], { baseURL });
    const { page, expected } = watched;
    expected.push(/net::ERR_/);
    await page.addInitScript(() => {
      globalThis.EventSource = class extends EventSource {
        constructor(address) {
          super(address);
          globalThis.source = this;
        }
      };
    });
    await page.goto('/_sandbox/');
    await isLive(page);
    for (const path of ['/me', '/videos/1', '/videos/2']) {
      await sandbox.get(path);
    }
    const rows = page.locator('#journal-rows tr');
    await rows.nth(2).locator('.status', { hasText: '200' }).waitFor();
    await rows.first().locator('.status', { hasText: '404' }).waitFor();
    await pressOn(page, rows.nth(1).locator('.opener'));
    await pressOn(page, page.locator('#journal-pause'), 'Space');
    const read = await page.locator('#journal-rows').innerText();
    assert.match(read, /arrived/);

    await page.evaluate(() => {
      globalThis.source.close();
      globalThis.source.dispatchEvent(new Event('error'));
    });
    await page.locator('#journal-state', { hasText: 'Connection lost' }).waitFor();
    await sandbox.get('/videos/3');
    await isLive(page);
    await page.locator('#journal-note', { hasText: '1 more since the pause' }).waitFor();
    assert.equal(await page.locator('#journal-rows').innerText(), read);

    await makeToken(page, baseURL);
    const copy = page.getByRole('button', { name: 'Copy the access token' });
    await tabTo(page, copy);
    const held = await copy.elementHandle();
    assert.equal((await fetch(`${baseURL}/_sandbox/reset`, { method: 'POST' })).status, 204);
    await row(page, 'token-rows', 'revoked').waitFor({ state: 'detached' });
    assert.ok(await held.evaluate((button) => button === document.activeElement));

    await sandbox.stop();
    await page.locator('#journal-state', { hasText: 'Connection lost' }).waitFor();
    sandbox = await startSandbox(new URL(baseURL).port);
    await sandbox.get('/tutorial');
    await isLive(page);
    const { client_id: id, client_secret: secret, access_token: token } = sandbox;
    await page.locator('#credential-rows', { hasText: token }).waitFor();
    const shown = await page.locator('#credential-rows').innerText();
    assert.ok(shown.includes(id) && shown.includes(secret), shown);
    assert.ok((await page.locator('#try-it').innerText()).includes(token));
    assert.ok((await page.locator('#try-it a').getAttribute('href')).includes(id));
    assert.equal(await page.locator('.made').isVisible(), false);
    // The focus is unchanged, on a button that copies the current value.
    await page.keyboard.press('Enter');
    await page.locator('#said', { hasText: 'Copied' }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token);

    await page.locator('#journal-note', { hasText: '1 more since the pause' }).waitFor();
    assert.equal(await page.locator('#journal-rows').innerText(), read);
    await look(watched, 'dashboard-paused');
    await pressOn(page, page.locator('#journal-pause'), 'Space');
    await rows.first().getByText('/tutorial').waitFor();
    assert.equal(await rows.count(), 1);
    await watched.context.close();
  } finally {
    await sandbox.stop();
  }
}

module.exports = { rejoin };
