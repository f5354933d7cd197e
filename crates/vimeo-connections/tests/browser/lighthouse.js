// Lighthouse's scores of the main pages, for accessibility and best practices.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { chromium } = require('playwright-core');
const { BASE_URL, createConnection, signIn } = require('./service.js');

const { CHROMIUM } = process.env;
const LOWEST = 95;

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address();
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

async function main() {
  const { default: lighthouse } = await import(pathToFileURL(require.resolve('lighthouse')));
  await createConnection('Main');
  const port = await freePort();
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'profile-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM, baseURL: BASE_URL, args: ['--headless', '--no-sandbox', '--disable-gpu', `--remote-debugging-port=${port}`],
  });
  const score = async (name) => {
    const { lhr } = await lighthouse(`${BASE_URL}/dashboard/${name}`, {
      port, onlyCategories: ['accessibility', 'best-practices'], disableStorageReset: true, logLevel: 'error',
    });
    const scores = Object.values(lhr.categories).map((category) => Math.round(category.score * 100));
    console.log(`${name}: accessibility ${scores[0]}, best practices ${scores[1]}`);
    const failed = Object.values(lhr.audits).filter((audit) => audit.score !== null && audit.score < 1);
    assert.ok(Math.min(...scores) >= LOWEST, `${name}: ${scores} ${failed.map(({ title }) => title).join('; ')}`);
  };
  try {
    await score('sign-in');
    await signIn(context.pages()[0]);
    for (const name of ['connections', 'uploads', 'keys']) {
      await score(name);
    }
  } finally {
    await context.close();
  }
}

main();
