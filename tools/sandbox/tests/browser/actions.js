// Actions that the scripts for the dashboard share.

const assert = require('node:assert/strict');
const { BASE_URL, api, pressOn } = require('./watch.js');

async function control(method, path, body) {
  const reply = await fetch(`${BASE_URL}/_sandbox/${path}`, { method, body: body && JSON.stringify(body) });
  assert.ok(reply.ok, `${method} ${path}: ${reply.status}`);
  return reply.status === 204 ? undefined : reply.json();
}

const row = (page, rows, text) => page.locator(`#${rows} tr`, { hasText: text });

async function isLive(page) {
  await page.locator('#journal-state[data-state=live]').waitFor();
}

async function makeToken(page, base = BASE_URL) {
  await pressOn(page, page.locator('summary', { hasText: 'Create a token' }));
  await pressOn(page, page.locator('[name=scopes][value=delete]'), 'Space');
  await pressOn(page, page.getByRole('button', { name: 'Create the token' }));
  const made = page.locator('.made code');
  await made.waitFor();
  const token = await made.textContent();
  await pressOn(page, page.getByRole('button', { name: 'Copy the new token' }));
  await page.locator('#said', { hasText: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token);
  assert.equal((await api('GET', '/me', { base, token })).status, 200);
  const { scope } = await (await api('GET', '/oauth/verify', { base, token })).json();
  assert.ok(scope.includes('edit') && !scope.includes('delete'), scope);
  await pressOn(page, page.getByRole('button', { name: /^Revoke token/ }).first());
  await row(page, 'token-rows', 'revoked').waitFor();
  assert.equal((await api('GET', '/me', { base, token })).status, 401);
}

module.exports = { control, isLive, makeToken, row };
