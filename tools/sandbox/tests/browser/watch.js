// A monitored browser: errors on any page are recorded, and only the keyboard is used.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { chromium } = require('playwright-core');
const axe = require('axe-core');

const { BASE_URL, SCREENSHOTS, CHROMIUM } = process.env;
const TABS_MAX = 400;

const LOOKS = [
  { name: 'light', colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  { name: 'light-narrow', colorScheme: 'light', viewport: { width: 360, height: 740 } },
  { name: 'dark-narrow', colorScheme: 'dark', viewport: { width: 360, height: 740 } },
];

async function launch() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

// A new page, with a list of its errors. Its scripts may send requests to its own origin and to `origins`.
async function open(browser, look, { origins = [], ...more } = {}) {
  const context = await browser.newContext({
    colorScheme: look.colorScheme, viewport: look.viewport, reducedMotion: 'reduce', baseURL: BASE_URL, ...more,
  });
  const own = more.baseURL ?? BASE_URL;
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: own });
  const page = await context.newPage();
  const wrong = [];
  // Console messages that the test expects.
  const expected = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expected.some((part) => part.test(message.text()))) {
      wrong.push(`console: ${message.text()}`);
    }
  });
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => {
    const { origin } = new URL(request.url());
    if (![own, ...origins].includes(origin) && !request.isNavigationRequest()) {
      wrong.push(`request elsewhere: ${request.url()}`);
    }
  });
  return { page, context, look, wrong, expected };
}

// Checks that the page has no accessibility violations and no horizontal overflow, and keeps a screenshot.
async function look(watched, name) {
  const { page, look: { name: lookName }, wrong } = watched;
  if (!await page.evaluate(() => 'axe' in globalThis)) {
    await page.evaluate(axe.source);
  }
  const found = await page.evaluate(() => globalThis.axe.run({
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    resultTypes: ['violations'],
  }));
  const violations = found.violations.map(({ id, nodes }) =>
    `${id}: ${nodes.map((node) => `${node.target.join(' ')} ${node.failureSummary}`).join(' | ')}`);
  fs.mkdirSync(SCREENSHOTS, { recursive: true });
  await page.evaluate(() => scrollTo({ top: 0, behavior: 'instant' }));
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}-${lookName}.png`), fullPage: true });
  assert.deepEqual(violations, [], `${name} in ${lookName}`);
  const { scrollWidth, clientWidth } = await page.evaluate(() => {
    const { scrollWidth: wide, clientWidth: window } = document.documentElement;
    return { scrollWidth: wide, clientWidth: window };
  });
  assert.ok(scrollWidth <= clientWidth, `${name} in ${lookName} is ${scrollWidth} wide, in a window of ${clientWidth}`);
  assert.deepEqual(wrong, [], `${name} in ${lookName}`);
}

// Presses Tab until this element has the focus, which must be visible.
async function tabTo(page, locator) {
  await locator.waitFor({ state: 'visible' });
  for (let tabs = 0; tabs < TABS_MAX; tabs += 1) {
    await page.keyboard.press('Tab');
    if (await locator.evaluate((element) => element === document.activeElement)) {
      const outline = await locator.evaluate((element) => getComputedStyle(element).outlineStyle);
      assert.notEqual(outline, 'none', `the focus on ${locator} is not visible`);
      return;
    }
  }
  assert.fail(`the keyboard does not reach ${locator}`);
}

async function pressOn(page, locator, key = 'Enter') {
  await tabTo(page, locator);
  await page.keyboard.press(key);
}

async function typeInto(page, locator, text) {
  await tabTo(page, locator);
  await page.keyboard.type(text);
}

async function api(method, target, { base = BASE_URL, token = process.env.ACCESS_TOKEN, headers = {}, body, signal } = {}) {
  return fetch(base + target, {
    method, body, signal, headers: { Authorization: `bearer ${token}`, Accept: 'application/vnd.vimeo.*+json;version=3.4', ...headers },
  });
}

module.exports = { BASE_URL, LOOKS, api, launch, look, open, pressOn, tabTo, typeInto };
