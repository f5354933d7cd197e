// Makes the dashboard live: its buttons and forms call the controls, and changed parts are replaced by what the server
// renders. Foreign texts are only ever set as text.

import { followJournal } from './journal.js';

const REFRESH_MILLIS = 2000;
const MESSAGE_MILLIS = 4000;

const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

let messageTimer;

// Shows a message for some seconds; an error stays until the next message.
function showMessage(text, how = 'temporary') {
  clearTimeout(messageTimer);
  find('#said').textContent = text;
  find('#said').dataset.how = how;
  if (how === 'temporary') {
    messageTimer = setTimeout(() => showMessage('', 'none'), MESSAGE_MILLIS);
  }
}

// Calls a control. Returns its JSON; throws an error with its message.
async function callControl(method, path, body) {
  let reply;
  try {
    reply = await fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error('The sandbox does not answer. Is it still running?');
  }
  const text = await reply.text();
  const answer = text === '' ? {} : JSON.parse(text);
  if (!reply.ok) {
    throw new Error(answer.error ?? `The sandbox answered with ${reply.status}.`);
  }
  return answer;
}

// --- Rendering by the server ---

// Makes the children of one element equal those of another. Unchanged children stay, with the focus and the user's
// choices.
function update(old, fresh) {
  if (fresh.children.length === 0 && old.children.length === 0) {
    if (old.textContent !== fresh.textContent) {
      old.textContent = fresh.textContent;
    }
    return;
  }
  const known = new Map([...old.children].map((child) => [child.dataset.key, child]));
  const wanted = [...fresh.children].map((child) => {
    const present = known.get(child.dataset.key);
    if (present?.isEqualNode(child)) {
      return present;
    }
    const next = document.importNode(child, true);
    const focused = present ? focusables(present).indexOf(document.activeElement) : -1;
    present?.replaceWith(next);
    if (focused >= 0) {
      (focusables(next)[focused] ?? focusables(next)[0])?.focus();
    }
    return next;
  });
  const kept = new Set(wanted);
  const hadFocus = old.contains(document.activeElement);
  for (const child of [...old.children]) {
    if (!kept.has(child)) {
      child.remove();
    }
  }
  wanted.forEach((child, place) => {
    if (old.children[place] !== child) {
      old.insertBefore(child, old.children[place] ?? null);
    }
  });
  if (hadFocus && !old.contains(document.activeElement)) {
    // The focused row is gone: focus the heading of the section, not the top of the page.
    document.getElementById(old.dataset.home)?.focus();
  }
}

function focusables(root) {
  return findAll('button, a, input, select', root);
}

// One run at a time. A call during a run waits for the next run, which starts afterwards and so sees the caller's
// changes.
function inTurn(run) {
  let running;
  let next;
  return function ask() {
    if (!running) {
      running = run().finally(() => { running = undefined; });
      return running;
    }
    next ??= running.then(() => {
      next = undefined;
      return ask();
    });
    return next;
  };
}

// A token of an earlier sandbox, which is shown only once, is no longer valid.
function forgetMade() {
  for (const made of findAll('.made')) {
    const hadFocus = made.contains(document.activeElement);
    made.hidden = true;
    if (hadFocus) {
      find('h2', made.closest('section')).focus();
    }
  }
}

let journal;

const refresh = inTurn(async () => {
  if (document.hidden) {
    return;
  }
  try {
    const reply = await fetch('/_sandbox/', { headers: { Accept: 'text/html' } });
    const fresh = new DOMParser().parseFromString(await reply.text(), 'text/html');
    const known = find('#credential-rows').textContent;
    for (const old of findAll('[data-fresh]')) {
      const next = fresh.getElementById(old.id);
      // The page does not change while a person is choosing.
      if (next && !(old.matches('select') && old === document.activeElement)) {
        update(old, next);
      }
    }
    if (find('#credential-rows').textContent !== known) {
      forgetMade();
    }
    if (find('#journal-rows', fresh)?.children.length === 0) {
      journal.reloadAfterEmptying();
    }
  } catch {
    // The journal shows that the connection is lost; the next refresh tries again.
  }
});

// --- Buttons and forms ---

// Splits `POST /a/path`. `{uri}` is replaced by the form's choice.
function control(template, path = '') {
  const [method, ...rest] = template.split(' ');
  return { method, path: rest.join(' ').replace('{uri}', path) };
}

// Buttons and forms with a call in progress: a second press is ignored.
const underWay = new WeakSet();

// A button that calls a control.
async function press(button) {
  if (underWay.has(button)) {
    return;
  }
  underWay.add(button);
  const { method, path } = control(button.dataset.control);
  const complaint = document.getElementById(button.dataset.complaints);
  const body = button.dataset.body && JSON.parse(button.dataset.body);
  if (button.dataset.times) {
    const { value } = document.getElementById(button.dataset.times);
    body.times = value === 'always' ? value : Number(value);
  }
  try {
    await callControl(method, path, body);
    complaint?.replaceChildren();
    button.closest('dialog')?.close();
    showMessage(button.dataset.said);
    if (button.dataset.then) {
      journal.empty();
    }
    if (button.dataset.then === 'reload') {
      forgetMade();
    }
  } catch (error) {
    if (complaint) {
      complaint.textContent = error.message;
    } else {
      showMessage(error.message, 'wrong');
    }
  }
  // Enabled only after it shows its new state: a switch pressed twice must be off again, not on twice.
  await refresh();
  underWay.delete(button);
}

// The fields of a form as JSON for its control. Empty fields are left out.
async function readForm(form) {
  const body = {};
  let path = '';
  for (const field of findAll('[name], [data-as]', form)) {
    const { name, dataset: { as }, value } = field;
    const text = value.trim();
    if (as === 'truth') {
      body[name] = field.checked;
    } else if (as === 'each') {
      body[name] = [...(body[name] ?? []), ...(field.checked ? [value] : [])];
    } else if (as === 'path') {
      path = value;
    } else if (as === 'another') {
      // The control takes the whole list, so it is read now: the page may show an older one.
      const { apps } = await callControl('GET', '/_sandbox/apps');
      body[name] = [...(apps.find((app) => app.uri === path)?.[name] ?? []), text];
    } else if (as === 'maybe') {
      body[name] = text || null;
    } else if (as === 'json') {
      body[name] = JSON.parse(value);
    } else if (text === '') {
      continue;
    } else if (as === 'count') {
      body[name] = /^\d+$/.test(text) ? Number(text) : text;
    } else if (as === 'lines') {
      body[name] = text.split(/\s+/);
    } else if (as === 'members') {
      Object.assign(body, readMembers(text));
    } else {
      body[name] = text;
    }
  }
  return { body, path };
}

function readMembers(text) {
  let members;
  try {
    members = JSON.parse(text);
  } catch (error) {
    throw new Error(`The members are not JSON: ${error.message}.`);
  }
  if (members === null || typeof members !== 'object' || Array.isArray(members)) {
    throw new Error('The members must be a JSON object, such as {"status": 503}.');
  }
  return members;
}

async function submit(form) {
  if (underWay.has(form)) {
    return;
  }
  underWay.add(form);
  const complaint = find('.complaint', form);
  complaint.textContent = '';
  try {
    const { body, path: uri } = await readForm(form);
    const { method, path } = control(form.dataset.control, uri);
    const answer = await callControl(method, path, body);
    showMessage(form.dataset.said);
    if (form.dataset.shows) {
      const made = find('.made', form);
      find('code', made).textContent = answer[form.dataset.shows];
      find('button', made).dataset.copy = answer[form.dataset.shows];
      made.hidden = false;
    } else {
      form.reset();
    }
  } catch (error) {
    complaint.textContent = error.message;
  } finally {
    underWay.delete(form);
  }
  await refresh();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    showMessage('Copied');
  } catch {
    showMessage('The browser does not let the page copy. Select the text and copy it yourself.', 'wrong');
  }
}

document.addEventListener('click', ({ target }) => {
  const button = target.closest('button');
  if (button?.dataset.copy) {
    copy(button.dataset.copy);
  } else if (button?.dataset.control) {
    press(button);
  }
});

document.addEventListener('submit', (event) => {
  event.preventDefault();
  submit(event.target);
});

const dialog = find('#reset-dialog');
find('#reset-ask').addEventListener('click', () => dialog.showModal());
find('#reset-cancel').addEventListener('click', () => dialog.close());

document.documentElement.classList.add('live');
journal = followJournal({ callControl, refresh, inTurn });
setInterval(refresh, REFRESH_MILLIS);
document.addEventListener('visibilitychange', refresh);
