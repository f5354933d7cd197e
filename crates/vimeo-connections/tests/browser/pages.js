// Every page, empty and filled, with nasty texts: in both themes and widths.

const assert = require('node:assert/strict');
const {
  APP, FILM, LOOKS, NASTY, api, button, control, createConnection, decide, fill, launch, link, lookAt, open, registerCallback, signIn, submit,
  transcode, useLink, visit, waitForJob,
} = require('./service.js');

const { OTHER_KEY, OWNER_LINK, READER_LINK, SANDBOX_URL } = process.env;
const UNKNOWN = '019c1234-5678-7abc-8def-0123456789ab';
// Statuses that the browser reports as errors, of pages that are shown because of them.
const REFUSED = /status of (400|403|404|410|422)/;
const HOOK = `https://hooks.example.com/${'a-rather-long-path/'.repeat(8)}`;

async function start(browser, prepare) {
  const watched = await open(browser, LOOKS[0], { origins: [SANDBOX_URL] });
  watched.expected.push(REFUSED);
  await prepare(watched.page);
  return watched;
}

// Records for every list.
async function furnish() {
  const main = await createConnection(`Main ${'W'.repeat(95)}`);
  const token = await control('POST', 'tokens', { app: APP.clientIdentifier, scopes: 'public private upload edit' });
  const broken = await createConnection('Broken', { accessToken: token.access_token });
  const idle = await createConnection('Idle', { enabled: false, description: '' });
  const jobs = {
    running: await submit(main, NASTY), done: await submit(main, 'A film'),
    failed: await submit(main, NASTY, `${FILM}.missing`), cancelled: await submit(main, 'Never mind'),
  };
  await transcode(jobs.done);
  await waitForJob(jobs.done, ({ status }) => status === 'completed');
  await waitForJob(jobs.failed, ({ status }) => status === 'failed');
  await waitForJob(jobs.running, ({ phase }) => phase === 'transcoding');
  await api('DELETE', `/jobs/${jobs.cancelled}`, { status: 204 });
  await control('DELETE', `tokens/${token.fingerprint}`);
  await api('POST', `/vimeo-connections/${broken}/verify`);
  return { main, broken, idle, jobs };
}

async function lookAtGuestPages(browser) {
  const watched = await start(browser, (page) => visit(page, '/dashboard/sign-in'));
  const { page } = watched;
  await lookAt(watched, 'sign-in');
  await fill(page, { key: 'nonsense' });
  await button(page, 'Sign in').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'sign-in-refused');
  await visit(page, `/dashboard/sign-in/link/${'x'.repeat(43)}`, 404);
  await lookAt(watched, 'link-problem');
  await visit(page, OWNER_LINK);
  await lookAt(watched, 'link');
  await visit(page, '/connect/nonsense', 404);
  await lookAt(watched, 'connect-unknown');
  await watched.context.close();
}

async function lookAtEmptyPages(browser) {
  const watched = await start(browser, (page) => signIn(page, OTHER_KEY));
  const { page } = watched;
  for (const path of ['connections', 'uploads', 'uploads/new', 'keys', 'webhooks', 'audit?actor=x', 'settings']) {
    await visit(page, `/dashboard/${path}`);
    await lookAt(watched, `empty-${path.replace(/\W/g, '-')}`);
  }
  await watched.context.close();
}

async function lookAtReaderPages(browser, { main, jobs }) {
  const watched = await start(browser, (page) => useLink(page, READER_LINK));
  const { page } = watched;
  await lookAt(watched, 'reader-connections');
  for (const path of [`connections/${main}`, `uploads/${jobs.running}`, 'settings']) {
    await visit(page, `/dashboard/${path}`);
    await lookAt(watched, `reader-${path.split('/').shift()}${path.includes('/') ? '-one' : ''}`);
  }
  await visit(page, '/dashboard/connections/new', 403);
  await lookAt(watched, 'forbidden');
  await watched.context.close();
}

async function lookAtConnectionPages(browser, { main, broken, idle }) {
  const watched = await start(browser, signIn);
  const { page } = watched;
  const list = '/dashboard/connections';
  await visit(page, list);
  await lookAt(watched, 'connections');
  await visit(page, `${list}?search=nothing-has-this-name`);
  await lookAt(watched, 'connections-none');
  for (const [name, id] of [['healthy', main], ['broken', broken], ['disabled', idle]]) {
    await visit(page, `${list}/${id}`);
    await lookAt(watched, `connection-${name}`);
  }
  await button(page, 'Disable').or(button(page, 'Enable')).first().click();
  await page.locator('.flash').waitFor();
  await lookAt(watched, 'connection-flash');
  await visit(page, `${list}/new`);
  await lookAt(watched, 'connection-new');
  await fill(page, { ...APP, name: '<b>', accessToken: 'wrong' });
  await button(page, 'Check and create').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'connection-new-refused');
  for (const form of ['edit', 'credentials', 'delete']) {
    await visit(page, `${list}/${main}/${form}`);
    await lookAt(watched, `connection-${form}`);
  }
  await fill(page, { name: 'Another name' });
  await button(page, 'Delete this connection').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'connection-delete-refused');
  await visit(page, `${list}/${idle}/edit`);
  const body = { name: 'Idle', description: 'Changed elsewhere', enabled: false, version: 2 };
  await api('PUT', `/vimeo-connections/${idle}`, { body });
  await fill(page, { description: NASTY });
  await page.locator('form .primary').click();
  await page.locator('.problem.warn').waitFor();
  await lookAt(watched, 'connection-edit-conflict');
  await visit(page, '/dashboard/nowhere', 404);
  await lookAt(watched, 'not-found');
  await watched.context.close();
}

async function lookAtConnectPages(browser) {
  const watched = await start(browser, signIn);
  const { page, expected } = watched;
  const other = await start(browser, async () => {});
  const begin = async (name, approver) => {
    await visit(page, '/dashboard/connect');
    await fill(page, { ...APP, name });
    await page.locator(`[name=approver][value=${approver}]`).check();
    await button(page, 'Continue').click();
  };
  await visit(page, '/dashboard/connect');
  await lookAt(watched, 'connect');
  await fill(page, { ...APP, name: 'Main', returnUrl: 'https://user@example.com/' });
  await page.locator('[name=approver][value=customer]').check();
  await button(page, 'Continue').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'connect-refused');

  await begin(`Customer ${'W'.repeat(90)}`, 'customer');
  const address = await page.locator('#link').textContent();
  await lookAt(watched, 'authorization-link');
  await other.page.goto(address);
  await lookAt(other, 'hosted-ask');
  await button(other.page, 'No, decline').click();
  await lookAt(other, 'hosted-denied');

  await begin('Second', 'customer');
  await other.page.goto(await page.locator('#link').textContent());
  const used = other.page.url();
  await button(other.page, 'Continue to Vimeo').click();
  await button(other.page, 'Allow').click();
  await other.page.waitForURL('**/connect/callback**');
  await lookAt(other, 'hosted-result');
  const stranger = await start(browser, async () => {});
  await begin('Third', 'customer');
  await other.page.goto(await page.locator('#link').textContent());
  await button(other.page, 'Continue to Vimeo').click();
  await button(other.page, 'Allow').waitFor();
  const callback = await decide(other.page, 'allow');
  await visit(stranger.page, callback, 403);
  await lookAt(stranger, 'hosted-other-browser');
  await visit(stranger.page, used, 410);
  await lookAt(stranger, 'hosted-used');

  await begin('Device', 'device');
  await page.locator('#code').waitFor();
  await lookAt(watched, 'authorization-device');
  await visit(page, '/dashboard/connections');
  await page.getByRole('heading', { name: 'Waiting for approval at Vimeo' }).waitFor();
  await lookAt(watched, 'connections-waiting');
  assert.ok(expected.length > 0);
  for (const { context } of [watched, other, stranger]) {
    await context.close();
  }
}

async function lookAtUploadPages(browser, { jobs }) {
  const watched = await start(browser, signIn);
  const { page } = watched;
  const list = '/dashboard/uploads';
  await visit(page, list);
  await lookAt(watched, 'uploads');
  await page.locator(`[value="${jobs.running}"]`).check();
  await button(page, 'Cancel selected\u2026').waitFor();
  await lookAt(watched, 'uploads-selected');
  await button(page, 'Cancel selected\u2026').click();
  await page.getByRole('heading', { name: 'Cancel this upload?' }).waitFor();
  await lookAt(watched, 'uploads-cancel');
  await visit(page, `${list}?phase=queued`);
  await lookAt(watched, 'uploads-none');
  for (const [name, job] of Object.entries(jobs)) {
    await visit(page, `${list}/${job}`);
    await lookAt(watched, `upload-${name}`);
  }
  await visit(page, `${list}/new`);
  await lookAt(watched, 'upload-new');
  await fill(page, { source: 'https://user:secret@example.com/', password: 'secret' });
  await button(page, 'Start upload').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'upload-new-refused');
  await page.locator('[name=kind][value=file]').check();
  await lookAt(watched, 'upload-new-file');
  await watched.context.close();
}

async function lookAtKeyPages(browser) {
  const watched = await start(browser, signIn);
  const { page } = watched;
  await visit(page, '/dashboard/keys');
  await button(page, 'Create key').waitFor();
  await fill(page, { name: NASTY.slice(0, 100) });
  await button(page, 'Create key').click();
  await page.getByRole('heading', { name: 'Your new API key' }).waitFor();
  await lookAt(watched, 'key-created');
  await visit(page, '/dashboard/keys');
  await lookAt(watched, 'keys');
  await fill(page, { name: '   ' });
  await button(page, 'Create key').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'keys-refused');
  await page.locator('tbody th a').first().click();
  await page.locator('#rename-title').waitFor();
  await lookAt(watched, 'key');
  await link(page, 'Revoke').click();
  await page.locator('.danger.solid').waitFor();
  await lookAt(watched, 'key-revoke');
  await visit(page, '/dashboard/confirm?next=/dashboard/keys');
  await lookAt(watched, 'confirm');
  await fill(page, { key: 'nonsense' });
  await button(page, 'Confirm').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'confirm-refused');
  await watched.context.close();
}

async function lookAtOtherPages(browser) {
  const watched = await start(browser, signIn);
  const { page } = watched;
  const list = '/dashboard/webhooks';
  await visit(page, `${list}/new`);
  await lookAt(watched, 'webhook-new');
  await fill(page, { url: 'https://user@example.com/' });
  await page.locator('form .primary').click();
  await page.locator('.summary').waitFor();
  await lookAt(watched, 'webhook-new-refused');
  await fill(page, { url: HOOK, description: NASTY });
  await page.locator('form .primary').click();
  await page.locator('#secret').waitFor();
  await lookAt(watched, 'webhook-secret');
  await visit(page, list);
  await lookAt(watched, 'webhooks');
  await page.locator('tbody th a').first().click();
  await page.locator('#manage-title').waitFor();
  const { pathname } = new URL(page.url());
  await lookAt(watched, 'webhook');
  await page.locator(`form[action="${pathname}/test"] button`).click();
  await page.locator('.flash').waitFor();
  await lookAt(watched, 'webhook-tested');
  for (const form of ['edit', 'rotate-secret', 'delete']) {
    await visit(page, `${pathname}/${form}`);
    await lookAt(watched, `webhook-${form}`);
  }
  await visit(page, '/dashboard/audit');
  await lookAt(watched, 'audit');
  await visit(page, `/dashboard/audit?subject=${UNKNOWN}`);
  await lookAt(watched, 'audit-none');
  await visit(page, '/dashboard/settings');
  await fill(page, { name: NASTY.slice(0, 90) });
  await page.locator('#invite form .primary').click();
  await page.locator('#invitation').waitFor();
  await lookAt(watched, 'invitation-created');
  await visit(page, '/dashboard/settings');
  await lookAt(watched, 'settings');
  await watched.context.close();
}

// Runs groups of pages, two at a time.
async function main(names) {
  const browser = await launch();
  const groups = [
    lookAtConnectionPages, lookAtUploadPages, lookAtOtherPages, lookAtConnectPages, lookAtKeyPages, lookAtGuestPages,
    lookAtReaderPages, lookAtEmptyPages,
  ].filter(({ name }) => names.length === 0 || names.includes(name));
  try {
    await registerCallback();
    const records = await furnish();
    const work = async () => {
      for (let group = groups.shift(); group; group = groups.shift()) {
        await group(browser, records);
        console.log(group.name);
      }
    };
    await Promise.all([work(), work()]);
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2));
