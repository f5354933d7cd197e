// Makes the page at /_sandbox/ live: its buttons and forms speak to the controls, and what the server writes down anew
// takes the place of what has changed. Texts from outside are only ever set as text.

import { followJournal } from './journal.js';

const REFRESH_MILLIS = 2000;
const SAID_MILLIS = 4000;

const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

let forgetting;

// Says something, for a while; what went wrong stays until something else is said.
function say(text, how = 'for a while') {
  clearTimeout(forgetting);
  find('#said').textContent = text;
  find('#said').dataset.how = how;
  if (how === 'for a while') {
    forgetting = setTimeout(() => say('', 'no more'), SAID_MILLIS);
  }
}

// Asks a control. Gives what it answers; what it refuses is thrown, with its sentence.
async function ask(method, path, body) {
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

// --- What the server writes down anew ---

// Makes the children of one element like those of another. What has not changed stays, with the focus and what a person
// has chosen in it.
function renew(old, fresh) {
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
    // The row is gone that had it: back to the part's heading, not to the top of the page.
    document.getElementById(old.dataset.home)?.focus();
  }
}

function focusables(root) {
  return findAll('button, a, input, select', root);
}

// One run at a time. Whoever asks during a run waits for another one, which begins after it, and so sees what they did.
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

// What was made in a sandbox that is gone, and is shown only once, opens nothing any more.
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
      // Nothing moves under the hand of a person who is choosing.
      if (next && !(old.matches('select') && old === document.activeElement)) {
        renew(old, next);
      }
    }
    if (find('#credential-rows').textContent !== known) {
      forgetMade();
    }
    if (find('#journal-rows', fresh)?.children.length === 0) {
      journal.noteEmptied();
    }
  } catch {
    // The journal says that the connection is lost; the next refresh finds it again.
  }
});

// --- Buttons and forms ---

// `POST /a/path`, apart. `{uri}` in it stands for what the form has chosen.
function control(template, path = '') {
  const [method, ...rest] = template.split(' ');
  return { method, path: rest.join(' ').replace('{uri}', path) };
}

// What was pressed or sent and is not done: a second press in haste does nothing.
const underWay = new WeakSet();

// A button that is a control.
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
    await ask(method, path, body);
    complaint?.replaceChildren();
    button.closest('dialog')?.close();
    say(button.dataset.said);
    if (button.dataset.then) {
      journal.empty();
    }
    if (button.dataset.then === 'anew') {
      forgetMade();
    }
  } catch (error) {
    if (complaint) {
      complaint.textContent = error.message;
    } else {
      say(error.message, 'wrong');
    }
  }
  // Not before it shows what it does now: a switch pressed twice is to be off again, not on twice.
  await refresh();
  underWay.delete(button);
}

// What a form says, as the JSON that its control takes. Fields left empty are left out.
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
      // The control takes the whole list, so that is asked for now: what the page shows may be older than the last change.
      const { apps } = await ask('GET', '/_sandbox/apps');
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
    const answer = await ask(method, path, body);
    say(form.dataset.said);
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
    say('Copied');
  } catch {
    say('The browser does not let the page copy. Select the text and copy it yourself.', 'wrong');
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
journal = followJournal({ ask, refresh, inTurn });
setInterval(refresh, REFRESH_MILLIS);
document.addEventListener('visibilitychange', refresh);
