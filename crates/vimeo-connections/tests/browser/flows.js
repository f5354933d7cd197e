// What people do in the dashboard, with scripts and without: connections by pasting and by consent, tokens, and API keys.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const { promisify } = require('node:util');
const {
  APP, BASE_URL, LONG_WAIT, LOOKS, api, button, control, createConnection, decide, fill, launch, link, lookAt, open,
  registerCallback, signIn, visit,
} = require('./service.js');

const { ACCESS_TOKEN, SANDBOX_URL } = process.env;
const REFUSED = /status of (400|403|404|410|422)/;
const NEW = '/dashboard/connections/new';
const SCOPES = 'public private upload edit';

async function start(browser, javaScriptEnabled, { isGuest = false } = {}) {
  const watched = await open(browser, LOOKS[0], { javaScriptEnabled, origins: [SANDBOX_URL] });
  watched.expected.push(REFUSED);
  if (!isGuest) {
    await signIn(watched.page);
  }
  return watched;
}

// No error was reported; closes the pages.
async function finish(...all) {
  for (const { wrong, context } of all) {
    assert.deepEqual(wrong, []);
    await context.close();
  }
}

// What is wrong with a field; the summary leads to it.
async function refusal(page, field) {
  const text = await page.locator(`#${field}-error`).innerText();
  const entry = page.locator(`.summary a[href="#${field}"]`);
  assert.equal(await entry.innerText(), text);
  await entry.click();
  assert.equal(await page.locator(`#${field}`).getAttribute('aria-invalid'), 'true');
  return text;
}

async function pasteWithRefusals(page, hasScripts) {
  const name = `Pasted ${hasScripts ? 'with' : 'without'} scripts`;
  const stranger = await control('POST', 'apps', { name: 'Another app' });
  const strange = await control('POST', 'tokens', { app: stranger.client_id, scopes: SCOPES });
  const narrow = await control('POST', 'tokens', { app: APP.clientIdentifier, scopes: 'public private' });
  const valid = { ...APP, name, accessToken: ACCESS_TOKEN };
  const refusals = [
    [{ name: '   ' }, 'name', /Enter a name/],
    [{ name: 'A/B' }, 'name', /letters/],
    [{ clientIdentifier: 'f'.repeat(40) }, 'clientIdentifier', /does not know/],
    [{ clientSecret: 'wrong' }, 'clientSecret', /does not accept/],
    [{ accessToken: 'wrong' }, 'accessToken', /does not know this access token/],
    [{ accessToken: strange.access_token }, 'accessToken', /another app/],
    [{ accessToken: narrow.access_token }, 'accessToken', /upload/],
  ];
  await visit(page, NEW);
  for (const [change, field, expected] of refusals) {
    await fill(page, { ...valid, ...change });
    await button(page, 'Check and create').click();
    await page.locator('.summary').waitFor();
    assert.match(await refusal(page, field), expected);
    // Secrets are entered again, and nothing else.
    assert.equal(await page.locator('#accessToken').inputValue(), '');
    assert.equal(await page.locator('#clientIdentifier').inputValue(), change.clientIdentifier ?? APP.clientIdentifier);
    await page.waitForURL(`**${NEW}**`);
    await page.goto(NEW);
  }
  await fill(page, valid);
  await button(page, 'Check and create').click();
  await page.locator('.flash', { hasText: 'was created' }).waitFor();
  assert.equal(await page.locator('h1').innerText(), name);
  await visit(page, NEW);
  await fill(page, valid);
  await button(page, 'Check and create').click();
  assert.match(await refusal(page, 'name'), /has this name/);
  return name;
}

// Fills in the form for a consent, up to the page that asks.
async function beginConsent(page, name, approver = 'me') {
  await visit(page, '/dashboard/connect');
  await fill(page, { ...APP, name });
  await page.locator(`[name=approver][value=${approver}]`).check();
  await button(page, 'Continue').click();
}

async function toVimeo(page) {
  await button(page, 'Continue to Vimeo').click();
  await button(page, 'Allow').waitFor();
}

async function connectByConsent(page, suffix) {
  await beginConsent(page, `Allowed ${suffix}`);
  await toVimeo(page);
  await button(page, 'Allow').click();
  await page.waitForURL('**/dashboard/connect/*');
  await page.locator('#authorization .badge', { hasText: 'Completed' }).waitFor();
  await link(page, `Open Allowed ${suffix}`).click();
  assert.equal(await page.locator('h1').innerText(), `Allowed ${suffix}`);
  await page.getByText('Healthy').first().waitFor();

  await beginConsent(page, `Denied ${suffix}`);
  await toVimeo(page);
  await button(page, 'Deny').click();
  await page.waitForURL('**/dashboard/connect/*');
  await page.locator('#authorization .badge', { hasText: 'Declined' }).waitFor();
  await link(page, 'Start again').waitFor();

  await beginConsent(page, `Refused ${suffix}`);
  await button(page, 'No, decline').click();
  await page.getByText(/declined/i).first().waitFor();
}

// A customer approves by a link: in a tab that is closed, then again; and no other browser can finish it.
async function connectCustomer(browser, page, suffix, hasScripts) {
  await beginConsent(page, `Customer ${suffix}`, 'customer');
  const address = await page.locator('#link').innerText();
  assert.ok(address.startsWith(`${BASE_URL}/connect/`), address);
  const customer = await start(browser, hasScripts, { isGuest: true });
  const thief = await start(browser, hasScripts, { isGuest: true });
  await customer.page.goto(address);
  await toVimeo(customer.page);
  await customer.page.close();

  customer.page = await customer.context.newPage();
  await customer.page.goto(address);
  await toVimeo(customer.page);
  const callback = await decide(customer.page, 'allow');
  await visit(thief.page, callback, 403);
  await thief.page.getByText('This was started in another browser').waitFor();
  const state = new URL(callback);
  state.searchParams.set('state', 'x'.repeat(64));
  await visit(customer.page, state.href, 400);
  await visit(customer.page, callback);
  await customer.page.getByText('Your Vimeo account is connected').waitFor();
  // The callback again shows the same; the link is used up.
  await visit(customer.page, callback);
  await customer.page.getByText('Your Vimeo account is connected').waitFor();
  await visit(thief.page, callback, 403);
  await visit(customer.page, address, 410);
  await customer.page.getByText('This link has been used').waitFor();
  const { Items: items } = await api('GET', '/vimeo-connections');
  assert.equal(items.filter(({ name }) => name === `Customer ${suffix}`).length, 1);
  if (hasScripts) {
    // The page with the link is kept up to date.
    await page.locator('#authorization .badge', { hasText: 'Completed' }).waitFor(LONG_WAIT);
  }
  await finish(customer, thief);
}

async function returnCustomer(browser, page, suffix, hasScripts) {
  await visit(page, '/dashboard/connect');
  await fill(page, { ...APP, name: `Return ${suffix}`, returnUrl: 'https://app.example.com/connected?session=1' });
  await page.locator('[name=approver][value=customer]').check();
  await button(page, 'Continue').click();
  const customer = await start(browser, hasScripts, { isGuest: true });
  await customer.page.goto(await page.locator('#link').innerText());
  await toVimeo(customer.page);
  await button(customer.page, 'Allow').click();
  const back = link(customer.page, 'Return to acme');
  const { origin, searchParams } = new URL(await back.getAttribute('href'));
  assert.equal(origin, 'https://app.example.com');
  assert.deepEqual([searchParams.get('session'), searchParams.get('result')], ['1', 'connected']);
  await finish(customer);
}

const activation = (page) => page.getByRole('link', { name: /activate/ }).getAttribute('href');

// Enters a code at Vimeo, and allows what is asked for.
async function enterCode(context, address, code) {
  const page = await context.newPage();
  await page.goto(address);
  await page.locator('#user_code').fill(code);
  await button(page, 'Continue').click();
  await button(page, 'Allow').click();
  await button(page, 'Allow').waitFor({ state: 'detached' });
  await page.close();
}

async function refreshUntil(page, done) {
  for (let tries = 0; tries < 60 && await done.count() === 0; tries += 1) {
    await page.waitForTimeout(500);
    await link(page, 'Refresh').click();
  }
  await done.waitFor();
}

async function connectDevice(browser, page, suffix, hasScripts) {
  await beginConsent(page, `Device ${suffix}`, 'device');
  const device = await start(browser, hasScripts, { isGuest: true });
  await enterCode(device.context, await activation(page), await page.locator('#code').innerText());
  const done = page.locator('#authorization .badge', { hasText: 'Completed' });
  await (hasScripts ? done.waitFor(LONG_WAIT) : refreshUntil(page, done));
  await device.context.close();
}

// A customer gets a link to a page with the code, which shows how it goes.
async function connectCustomerDevice(browser, suffix, hasScripts) {
  const body = { ...APP, name: `Customer device ${suffix}`, flow: 'device' };
  const created = await api('POST', '/vimeo-connections/authorizations', { body, status: 201 });
  const customer = await start(browser, hasScripts, { isGuest: true });
  const { page } = customer;
  await visit(page, created.connectUrl);
  if (hasScripts) {
    await lookAt(customer, 'hosted-device');
  }
  const done = page.getByText('Your Vimeo account is connected');
  assert.equal(await done.count(), 0);
  await enterCode(customer.context, await activation(page), await page.locator('#code').innerText());
  if (hasScripts) {
    await done.waitFor(LONG_WAIT);
    await lookAt(customer, 'hosted-device-result');
  } else {
    await refreshUntil(page, done);
  }
  await finish(customer);
}

// Vimeo may send the browser through other origins, for example to log in.
async function followRedirects(browser) {
  const elsewhere = SANDBOX_URL.replace('127.0.0.1', 'localhost');
  for (const hasScripts of [true, false]) {
    const watched = await start(browser, hasScripts);
    const { page } = watched;
    watched.expected.push(/Failed to load resource/);
    await beginConsent(page, `Redirected ${hasScripts}`);
    await control('POST', 'faults', { route: 'GET /oauth/authorize', kind: 'redirect', location: `${elsewhere}/log_in`, times: 1 });
    await button(page, 'Continue to Vimeo').click();
    await page.waitForURL(`${elsewhere}/log_in`);
    await finish(watched);
  }
}

// Who does not allow what is needed tries again with the same link.
async function tryAgain(page, suffix) {
  const name = `Again ${suffix}`;
  await beginConsent(page, name);
  await toVimeo(page);
  await page.locator('[name=scope][value=upload]').uncheck();
  await button(page, 'Allow').click();
  await page.getByRole('alert').getByText('A required permission was not granted').waitFor();
  await toVimeo(page);
  await button(page, 'Allow').click();
  await link(page, `Open ${name}`).waitFor();
}

// A link that was sent by mistake is found again and withdrawn: the page of its customer says so.
async function withdraw(browser, page, suffix, hasScripts) {
  const name = `Withdrawn ${suffix}`;
  await beginConsent(page, name, 'customer');
  const address = await page.locator('#link').innerText();
  const customer = await start(browser, hasScripts, { isGuest: true });
  await customer.page.goto(address);
  await toVimeo(customer.page);
  const callback = await decide(customer.page, 'allow');
  await visit(page, '/dashboard/connections');
  await link(page, name).click();
  await button(page, 'Withdraw').click();
  await page.locator('#authorization .badge', { hasText: 'Withdrawn' }).waitFor();
  await visit(customer.page, callback);
  await customer.page.getByRole('heading', { name: 'This link was withdrawn' }).waitFor();
  if (hasScripts) {
    await lookAt(customer, 'hosted-withdrawn');
  }
  await finish(customer);
}

// A token that Vimeo no longer accepts is renewed by consent, and replaced by pasting.
async function renew(page, suffix) {
  const name = `Renewed ${suffix}`;
  const old = await control('POST', 'tokens', { app: APP.clientIdentifier, scopes: SCOPES });
  const id = await createConnection(name, { accessToken: old.access_token });
  await control('DELETE', `tokens/${old.fingerprint}`);
  await visit(page, `/dashboard/connections/${id}`);
  await button(page, 'Test now').first().click();
  await page.getByText('Vimeo rejects the access token').first().waitFor();
  await button(page, 'Renew with Vimeo').first().click();
  await button(page, 'Continue').click();
  await toVimeo(page);
  await button(page, 'Allow').click();
  await link(page, `Open ${name}`).click();
  await page.getByText('Healthy').first().waitFor();

  await link(page, 'Replace credentials').first().click();
  await fill(page, { accessToken: 'wrong' });
  await button(page, 'Check and replace').click();
  assert.match(await refusal(page, 'accessToken'), /does not know/);
  await fill(page, { accessToken: ACCESS_TOKEN });
  await button(page, 'Check and replace').click();
  await page.locator('.flash', { hasText: 'were replaced' }).waitFor();
  await link(page, 'Delete').click();
  await fill(page, { name });
  await button(page, 'Delete this connection').click();
  await page.locator('.flash', { hasText: 'deleted' }).waitFor();
  assert.equal(await page.getByText(name, { exact: true }).count(), 0);
}

// A key is created, used by curl with the command that the page shows, and revoked.
async function makeKey(page, suffix) {
  const name = `Key ${suffix}`;
  await visit(page, '/dashboard/keys');
  await fill(page, { name });
  for (const scope of await page.locator('[name=scopes]').all()) {
    await scope.setChecked(await scope.getAttribute('value') === 'connections:read');
  }
  await button(page, 'Create key').click();
  await page.getByRole('heading', { name: 'Your new API key' }).waitFor();
  const key = await page.locator('#new-key').innerText();
  const curl = await page.locator('#curl').innerText();
  assert.ok(curl.startsWith('curl ') && curl.includes(key), curl);
  const run = async () => (await promisify(execFile)('sh', ['-c', `${curl} --silent --noproxy '*'`])).stdout;
  assert.match(await run(), /connections:read/);
  await link(page, 'I have saved it').click();
  assert.ok(!(await page.content()).includes(key));
  await link(page, name).click();
  await link(page, 'Revoke').click();
  await page.getByText(name).first().waitFor();
  await button(page, 'Revoke the key').click();
  await page.locator('.flash', { hasText: 'revoked' }).waitFor();
  assert.doesNotMatch(await run(), /connections:read/);
}

// The audit log of one action is read, and kept as a file.
async function readAudit(page, hasScripts) {
  await visit(page, '/dashboard/audit');
  await page.locator('#action').selectOption({ label: 'API key revoked' });
  // Scripts filter at each change.
  if (!hasScripts) {
    await button(page, 'Filter').click();
  }
  await page.waitForURL('**/dashboard/audit?*action=*');
  await page.locator('#results tbody tr').first().waitFor();
  const download = page.waitForEvent('download');
  await page.locator('#results a[download]').click();
  const file = await download;
  assert.match(file.suggestedFilename(), /\.jsonl$/);
  const events = fs.readFileSync(await file.path(), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.ok(events.length > 0);
  assert.deepEqual([...new Set(events.map(({ action }) => action))], ['revoke_api_key']);
}

async function use(browser, hasScripts) {
  const watched = await start(browser, hasScripts);
  const { page } = watched;
  const suffix = hasScripts ? 'with scripts' : 'without scripts';
  await pasteWithRefusals(page, hasScripts);
  await connectByConsent(page, suffix);
  await connectCustomer(browser, page, suffix, hasScripts);
  await returnCustomer(browser, page, suffix, hasScripts);
  await connectDevice(browser, page, suffix, hasScripts);
  await connectCustomerDevice(browser, suffix, hasScripts);
  await tryAgain(page, suffix);
  await withdraw(browser, page, suffix, hasScripts);
  await renew(page, suffix);
  await makeKey(page, suffix);
  await readAudit(page, hasScripts);
  await page.locator('.menu summary').click();
  await button(page, 'Sign out').click();
  await page.getByText('You have signed out.').waitFor();
  await finish(watched);
  console.log(suffix);
}

async function main() {
  await registerCallback();
  const browser = await launch();
  try {
    await followRedirects(browser);
    await Promise.all([use(browser, true), use(browser, false)]);
  } finally {
    await browser.close();
  }
}

main();
