// Signing in at an identity provider, and confirming there who one is: allowed, declined, and by a person without a role.

const assert = require('node:assert/strict');
const { BASE_URL, LOOKS, button, launch, link, lookAt, open, visit } = require('./service.js');

const { ISSUER } = process.env;
const SIGN_IN = '/dashboard/sign-in';
const PROVIDER = 'Continue with Example ID';

async function start(browser, javaScriptEnabled) {
  const watched = await open(browser, LOOKS[0], { javaScriptEnabled, origins: [ISSUER] });
  const { page, wrong } = watched;
  watched.expected.push(/status of 403/);
  // The provider's pages, and only they, import a font from elsewhere.
  await page.route((url) => ![BASE_URL, ISSUER].includes(url.origin), async (route) => {
    const request = route.request();
    const index = wrong.indexOf(`request elsewhere: ${request.url()}`);
    if (request.frame().url().startsWith(ISSUER) && index >= 0) {
      wrong.splice(index, 1);
    }
    await route.fulfill({ contentType: 'text/css', body: '' });
  });
  return watched;
}

// Decides on the pages of the provider, until it sends the browser back.
async function decide(page, login, decision = 'Continue') {
  const name = page.locator('[name=login]');
  const choice = decision === 'Continue' ? button(page, decision) : page.getByRole('link', { name: decision });
  await name.or(choice).first().waitFor();
  if (await name.count() > 0 && decision === 'Continue') {
    await name.fill(login);
    await page.locator('[name=password]').fill('any');
    await button(page, 'Sign-in').click();
  }
  // Who has allowed it once is not asked again.
  await choice.or(page.locator('main')).first().waitFor();
  if (await choice.count() > 0) {
    await choice.click();
  }
  await page.locator('main').waitFor();
  assert.equal(new URL(page.url()).origin, BASE_URL);
}

async function useProvider(browser, hasScripts) {
  const watched = await start(browser, hasScripts);
  const { page, context, wrong } = watched;
  const see = async (name) => { if (hasScripts) { await lookAt(watched, name); } };
  await visit(page, `${SIGN_IN}?next=%2Fdashboard%2Fkeys`);
  await see('sign-in-provider');
  await link(page, PROVIDER).click();
  await decide(page, '', 'Cancel');
  await page.getByRole('heading', { name: 'You were not signed in' }).waitFor();
  await see('sign-in-declined');

  await link(page, 'Start again').click();
  await decide(page, 'olga+admins');
  assert.equal(new URL(page.url()).pathname, '/dashboard/keys');
  const cookies = await context.cookies(BASE_URL);
  const session = cookies.find(({ name }) => name === '__Host-session');
  assert.deepEqual([session.httpOnly, session.secure, session.sameSite], [true, true, 'Lax']);
  assert.ok(!cookies.some(({ name }) => name === '__Host-oidc'), 'an attempt is used once');

  await visit(page, '/dashboard/confirm?next=%2Fdashboard%2Fwebhooks');
  await see('confirm-provider');
  await link(page, PROVIDER).click();
  await decide(page, '', 'Cancel');
  await page.getByRole('heading', { name: 'Your identity was not confirmed' }).waitFor();
  await see('confirm-declined');
  await link(page, 'Start again').click();
  await decide(page, 'olga+admins');
  assert.equal(new URL(page.url()).pathname, '/dashboard/webhooks');
  await page.locator('.menu summary').click();
  await page.locator('.menu', { hasText: 'olga' }).waitFor();
  await button(page, 'Sign out').click();
  await page.getByText('You have signed out.').waitFor();
  assert.deepEqual(wrong, []);
  await context.close();

  const guest = await start(browser, hasScripts);
  await visit(guest.page, SIGN_IN);
  await link(guest.page, PROVIDER).click();
  await decide(guest.page, 'gabi+guests');
  await guest.page.getByRole('heading', { name: 'You have no access yet' }).waitFor();
  if (hasScripts) {
    await lookAt(guest, 'sign-in-no-role');
  }
  assert.deepEqual(guest.wrong, []);
  await guest.context.close();
  console.log(hasScripts ? 'with scripts' : 'without scripts');
}

async function main() {
  const browser = await launch();
  try {
    await useProvider(browser, true);
    await useProvider(browser, false);
  } finally {
    await browser.close();
  }
}

main();
