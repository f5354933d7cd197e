// The main flows, with the keyboard only.

const assert = require('node:assert/strict');
const {
  APP, FILM, LOOKS, launch, open, pressOn, registerCallback, tabTo, typeInto,
} = require('./service.js');

const { ACCESS_TOKEN, API_KEY, SANDBOX_URL } = process.env;

const by = (page) => ({
  button: (name) => page.getByRole('button', { name, exact: true }),
  link: (name) => page.getByRole('link', { name, exact: true }),
});

async function signIn(page) {
  await page.goto('/dashboard/sign-in');
  await typeInto(page, page.locator('#key'), 'nonsense');
  await page.keyboard.press('Enter');
  // The focus is on what is wrong, and the link in it leads to the field.
  await page.locator('.summary:focus').waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('#key:focus').waitFor();
  await page.keyboard.type(API_KEY);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/dashboard/connections');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main', 'the first link skips the navigation');
}

async function createConnection(page) {
  const { button, link } = by(page);
  await pressOn(page, link('Paste credentials'));
  for (const [id, text] of Object.entries({ name: 'By keyboard', ...APP, accessToken: ACCESS_TOKEN })) {
    await typeInto(page, page.locator(`#${id}`), text);
  }
  await pressOn(page, button('Check and create'));
  await page.locator('.flash', { hasText: 'was created' }).waitFor();
}

async function createKey(page) {
  const { button, link } = by(page);
  await pressOn(page, link('API keys'));
  await page.waitForURL('**/dashboard/keys');
  await typeInto(page, page.locator('#name'), 'By keyboard');
  await pressOn(page, page.locator('[name=scopes][value="audit:read"]'), 'Space');
  await pressOn(page, button('Create key'));
  await page.getByRole('heading', { name: 'Your new API key' }).waitFor();
  const key = await page.locator('#new-key').innerText();
  await pressOn(page, page.locator('[data-copy=new-key]'));
  await page.locator('[data-copy=new-key]', { hasText: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), key);
  await pressOn(page, link('I have saved it'));
  await page.waitForURL('**/dashboard/keys');
}

async function startUpload(page) {
  const { button, link } = by(page);
  await pressOn(page, link('Uploads'));
  await page.waitForURL('**/dashboard/uploads');
  await pressOn(page, link('New upload').first());
  await page.waitForURL('**/dashboard/uploads/new');
  // The choice of the source: arrow keys.
  await tabTo(page, page.locator('[name=kind]:checked'));
  await page.keyboard.press('ArrowRight');
  await page.locator('#file').waitFor();
  await page.keyboard.press('ArrowLeft');
  await typeInto(page, page.locator('#source'), FILM);
  await pressOn(page, button('Start upload'));
  await page.waitForURL(/uploads\/[0-9a-f-]{36}$/);
  await pressOn(page, link('Uploads').first());
  await pressOn(page, page.locator('[name=jobId]').first(), 'Space');
  await pressOn(page, button('Cancel selected\u2026'));
  await pressOn(page, button('Cancel the upload'));
  await page.locator('.flash', { hasText: 'cancelled' }).waitFor();
}

async function connect(page) {
  const { button, link } = by(page);
  await pressOn(page, link('Connections').first());
  await page.waitForURL('**/dashboard/connections');
  await pressOn(page, link('Connect with Vimeo'));
  for (const [id, text] of Object.entries({ name: 'By consent', ...APP })) {
    await typeInto(page, page.locator(`#${id}`), text);
  }
  await pressOn(page, button('Continue'));
  await pressOn(page, button('Continue to Vimeo'));
  await pressOn(page, button('Allow'));
  await pressOn(page, link('Open By consent'));
  await page.getByText('Healthy').first().waitFor();
}

async function signOut(page) {
  const { button } = by(page);
  const menu = page.locator('.menu summary');
  await pressOn(page, menu);
  await button('Sign out').waitFor();
  await page.keyboard.press('Escape');
  await button('Sign out').waitFor({ state: 'hidden' });
  assert.ok(await menu.evaluate((summary) => summary === document.activeElement));
  await page.keyboard.press('Enter');
  await pressOn(page, button('Sign out'));
  await page.getByText('You have signed out.').waitFor();
}

async function main() {
  await registerCallback();
  const browser = await launch();
  try {
    const watched = await open(browser, LOOKS[0], { origins: [SANDBOX_URL] });
    watched.expected.push(/status of 422/);
    for (const step of [signIn, createConnection, createKey, startUpload, connect, signOut]) {
      await step(watched.page);
      console.log(step.name);
    }
    assert.deepEqual(watched.wrong, []);
  } finally {
    await browser.close();
  }
}

main();
