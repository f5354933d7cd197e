// Uploads: a file sent from the page over a network that is cut, and the list and the pages that follow them.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {
  FILM, LONG_WAIT, LOOKS, api, button, control, createConnection, fill, launch, link, lookAt, open, signIn, submit,
  transcode, visit, waitForJob,
} = require('./service.js');

const { SANDBOX_URL } = process.env;
const LIST = '/dashboard/uploads';
// More than the buffers between a browser and a server hold.
const SIZE = 40 * 1024 * 1024;

async function start(browser, more = {}) {
  const watched = await open(browser, LOOKS[0], { origins: [SANDBOX_URL], ...more });
  await signIn(watched.page);
  return watched;
}

async function finish({ wrong, context }) {
  assert.deepEqual(wrong, []);
  await context.close();
}

// Vimeo reads the next requests with bytes slowly.
async function slowDown(times) {
  const fault = { route: 'PATCH /files/*', kind: 'slow-body', bytes_per_second: 1_000_000, times };
  await control('POST', 'faults', fault);
}

const state = (page) => page.locator('#sending [data-part=state]');
const ONE = /uploads\/[0-9a-f-]{36}$/;
const row = (page, job) => page.locator(`#job-${job}`);

// How many bytes of the file Vimeo has.
async function received(page) {
  const href = await page.locator('#sending [data-part=open]').getAttribute('href');
  const { data: { vimeoUri } } = await api('GET', `/jobs/${href.split('/').pop()}`);
  const { versions } = await control('GET', `videos/${vimeoUri.split('/').pop()}`);
  return versions[0].received;
}

async function chooseFile(page, name) {
  await visit(page, `${LIST}/new`);
  await page.locator('[name=kind][value=file]').check();
  await button(page, 'Start upload').click();
  assert.equal(await page.locator('#sending').isVisible(), false, 'a file is required');
  const file = path.join(os.tmpdir(), name);
  fs.writeFileSync(file, Buffer.alloc(SIZE, 7));
  await page.locator('#file').setInputFiles(file);
}

// Sends a file; the network is cut in the middle, and the person pauses.
async function sendFile(browser) {
  const watched = await start(browser);
  const { page, expected } = watched;
  await chooseFile(page, 'Holidays.mp4');
  await fill(page, { password: 'unused' });
  expected.push(/status of 422/);
  await button(page, 'Start upload').click();
  await page.locator('.upload-errors a', { hasText: 'A password has no effect' }).waitFor();
  await lookAt(watched, 'upload-file-refused');
  await fill(page, { password: '', name: 'Sent from the page' });
  await slowDown(2);
  await button(page, 'Start upload').click();
  await state(page).getByText('Sending.').waitFor();
  await page.waitForFunction(() => document.querySelector('#sending progress').value > 15);

  // Afterwards, the server still reads what has arrived of the request that was cut.
  expected.push(/ERR_INTERNET_DISCONNECTED/, /status of (409|423)/);
  await page.context().setOffline(true);
  await state(page).getByText('The network is lost.').waitFor();
  const before = await received(page);
  assert.ok(before > 0 && before < SIZE, `${before} bytes before the cut`);
  await lookAt(watched, 'upload-offline');
  await page.context().setOffline(false);
  await state(page).getByText('Sending.').waitFor(LONG_WAIT);

  await button(page, 'Pause').click();
  await state(page).getByText('Paused.').waitFor();
  await lookAt(watched, 'upload-paused');
  await button(page, 'Resume').click();
  await button(page, 'Resume').or(button(page, 'Pause')).waitFor({ state: 'hidden', ...LONG_WAIT });
  await lookAt(watched, 'upload-sent');
  assert.equal(await received(page), SIZE);

  await link(page, 'Open the upload').click();
  await page.locator('#upload-progress').waitFor();
  await transcode(page.url().split('/').pop());
  await page.locator('#upload-progress .badge', { hasText: 'Completed' }).waitFor(LONG_WAIT);
  await finish(watched);
  console.log('sent');
}

// Cancels while the file is being sent.
async function cancelSending(browser) {
  const watched = await start(browser);
  const { page, expected } = watched;
  expected.push(/ERR_/);
  await chooseFile(page, 'Cancelled.mp4');
  await slowDown(1);
  await button(page, 'Start upload').click();
  await state(page).getByText('Sending.').waitFor();
  await page.waitForFunction(() => document.querySelector('#sending progress').value > 0);
  await button(page, 'Cancel upload').click();
  await page.waitForURL(ONE, LONG_WAIT);
  await waitForJob(page.url().split('/').pop(), ({ status }) => status === 'cancelled');
  await finish(watched);
  console.log('cancelled');
}

// The rows change in place; the focus and what is checked are kept, also while updates are paused.
async function watchList(browser, connection) {
  const [first, second, third] = [
    await submit(connection, 'First'), await submit(connection, 'Second'), await submit(connection, 'Third'),
  ];
  for (const job of [first, second, third]) {
    await waitForJob(job, ({ phase }) => phase === 'transcoding');
  }
  const watched = await start(browser);
  const { page } = watched;
  await visit(page, LIST);
  await page.evaluate(() => { globalThis.isSamePage = true; });
  const box = row(page, first).locator('[name=jobId]');
  await box.check();
  await box.focus();
  const isKept = () => box.evaluate((input) => input.checked && input === document.activeElement);
  await transcode(second);
  await row(page, second).locator('.badge', { hasText: 'Completed' }).waitFor(LONG_WAIT);
  assert.ok(await isKept());
  assert.equal(await row(page, second).locator('[name=jobId]').count(), 0, 'it can no longer be cancelled');
  await page.locator('#upload-tabs li', { hasText: /^Completed [1-9]/ }).waitFor(LONG_WAIT);

  const fourth = await submit(connection, 'Fourth');
  await page.locator('.live-new', { hasText: /new upload/ }).waitFor(LONG_WAIT);
  assert.ok(await isKept());

  await button(page, 'Pause updates').click();
  await transcode(third);
  await waitForJob(third, ({ status }) => status === 'completed');
  assert.equal(await row(page, third).locator('.badge').innerText(), 'Transcoding');
  await button(page, 'Resume updates').click();
  await row(page, third).locator('.badge', { hasText: 'Completed' }).waitFor(LONG_WAIT);
  assert.ok(await box.isChecked());
  assert.ok(await page.evaluate(() => globalThis.isSamePage), 'the page was not loaded again');

  await page.locator('.live-new a').click();
  await row(page, fourth).waitFor();
  for (const job of [first, fourth]) {
    await row(page, job).locator('[name=jobId]').check();
  }
  await page.getByText('2 selected').waitFor();
  await button(page, 'Cancel selected\u2026').click();
  await page.getByText('2 selected').waitFor({ state: 'detached' });
  await link(page, 'Go back').click();
  await row(page, first).locator('[name=jobId]').check();
  await row(page, fourth).locator('[name=jobId]').check();
  await button(page, 'Cancel selected\u2026').click();
  await button(page, 'Cancel the uploads').click();
  await page.locator('.flash', { hasText: 'cancelled' }).waitFor();
  for (const job of [first, fourth]) {
    await waitForJob(job, ({ status }) => status === 'cancelled');
  }
  await finish(watched);
  console.log('watched');
}

// From a URL, with scripts or without: started, cancelled, failed and retried.
async function useUrl(browser, javaScriptEnabled) {
  const watched = await start(browser, { javaScriptEnabled });
  const { page } = watched;
  const begin = async (source) => {
    await visit(page, `${LIST}/new`);
    await fill(page, { source });
    await button(page, 'Start upload').click();
    await page.waitForURL(ONE);
    return page.url().split('/').pop();
  };
  const shows = async (text) => {
    const badge = page.locator('#upload-progress .badge', { hasText: text });
    for (let tries = 0; !javaScriptEnabled && tries < 60 && await badge.count() === 0; tries += 1) {
      await page.waitForTimeout(300);
      await page.reload();
    }
    await badge.waitFor(LONG_WAIT);
  };
  const running = await begin(FILM);
  await shows('Transcoding');
  await button(page, 'Cancel upload\u2026').click();
  await page.getByRole('heading', { name: 'Cancel this upload?' }).waitFor();
  await link(page, 'Go back').click();
  await button(page, 'Cancel upload\u2026').click();
  await button(page, 'Cancel the upload').click();
  await page.waitForURL(ONE);
  await waitForJob(running, ({ status }) => status === 'cancelled');

  const failed = await begin(`${FILM}.missing`);
  await shows('Failed');
  await visit(page, `${LIST}/${failed}`);
  await page.getByText('SOURCE_REFUSED').waitFor();
  await button(page, 'Retry').click();
  await page.waitForURL((url) => ONE.test(url.pathname) && !url.pathname.endsWith(failed));
  await shows('Failed');
  await finish(watched);
  console.log(javaScriptEnabled ? 'with scripts' : 'without scripts');
}

// A session that is ended elsewhere ends the stream, and the page says so.
async function endSession(browser) {
  const watched = await start(browser);
  const other = await start(browser);
  watched.expected.push(/MIME type|status of 401/);
  await visit(watched.page, LIST);
  await visit(other.page, '/dashboard/settings');
  const sessions = other.page.locator('tbody tr', { has: other.page.getByRole('button', { name: /^Sign out / }) });
  const buttons = sessions.filter({ hasNotText: 'This session' }).getByRole('button');
  while (await buttons.count() > 0) {
    await buttons.first().click();
    await other.page.locator('.flash', { hasText: 'ended' }).waitFor();
  }
  await watched.page.locator('.live-note', { hasText: 'Live updates have stopped' }).waitFor(LONG_WAIT);
  await lookAt(watched, 'uploads-stopped');
  await link(watched.page, 'Refresh').click();
  await watched.page.waitForURL('**/dashboard/sign-in**');
  await watched.page.locator('.note').waitFor();
  await finish(watched);
  await finish(other);
  console.log('ended');
}

async function main() {
  const connection = await createConnection('Uploads');
  const browser = await launch();
  try {
    await sendFile(browser);
    await cancelSending(browser);
    await Promise.all([watchList(browser, connection), useUrl(browser, true).then(() => useUrl(browser, false))]);
    await endSession(browser);
  } finally {
    await browser.close();
  }
}

main();
