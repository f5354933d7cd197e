// The journal, live: what the server tells of each request, newest first. It holds what the sandbox holds, and shows the
// newest of it, so that ten thousand requests are no burden.

const HELD_MAX = 10_000;
const SHOWN_MAX = 200;
const LOADED_MAX = 1000;
const REFRESH_PAUSE_MILLIS = 300;
const RETRY_MILLIS = 3000;

const part = (name) => document.getElementById(name);

// Characters that hide or turn around what stands beside them.
const DECEPTIVE = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;
const PATH_CHARACTERS_MAX = 200;

function presentable(text) {
  const shown = text.slice(0, PATH_CHARACTERS_MAX).replace(DECEPTIVE, '\ufffd');
  return text.length > PATH_CHARACTERS_MAX ? `${shown}…` : shown;
}

const query = (entry) => (entry.query ? `?${entry.query}` : '');
// What there is instead of a status, and what that means.
const UNANSWERED = { left: 'never: the client left before it was', cut: 'never: the connection was cut', waiting: 'not yet' };
function statusOf(entry) {
  if (entry.abandoned) return 'left';
  return entry.status ?? (entry.settled ? 'cut' : 'waiting');
}
const who = (entry) => entry.user ?? entry.app ?? '';
const clock = (at) => {
  const date = new Date(at);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
};

// What a filter is looked for in.
const searched = (entry) =>
  [entry.number, entry.method, entry.path + query(entry), statusOf(entry), entry.fault, entry.user, entry.app, entry.user_agent]
    .join(' ').toLowerCase();

export function followJournal({ ask, refresh, inTurn }) {
  const entries = new Map();
  const rows = new Map();
  const opened = new Set();
  const state = { words: [], due: false, refreshDue: false, loading: false, heard: [] };
  // What was held when the journal was paused, which is what is shown until it goes on: also when the connection breaks,
  // and when another sandbox has come since, which counts from 1 again.
  let paused;
  const readable = () => paused ?? entries;
  const isIn = (known, entry) => known.get(entry.number)?.at === entry.at;

  // --- Showing ---

  function fill(row, entry) {
    const set = (selector, text) => { row.querySelector(selector).textContent = text; };
    set('.opener', entry.number);
    set('.time', clock(entry.at));
    set('.method', entry.method);
    set('.path', presentable(entry.path + query(entry)));
    set('.status', statusOf(entry));
    set('.tag', entry.fault ?? '');
    set('.who', who(entry));
    set('.millis', entry.millis ?? '');
    row.querySelector('.opener').setAttribute('aria-label', `${entry.number}: details`);
    row.querySelector('.status').dataset.class = String(statusOf(entry))[0];
    row.querySelector('.fault').hidden = !entry.fault;
  }

  function details(entry) {
    const row = document.createElement('tr');
    row.className = 'details';
    row.id = `entry-${entry.number}`;
    const cell = row.insertCell();
    cell.colSpan = 6;
    const list = document.createElement('dl');
    const add = (name, value, tag = 'code') => {
      if (value === null || value === undefined || value === '') {
        return;
      }
      const pair = document.createElement('div');
      const term = document.createElement('dt');
      const text = document.createElement('dd');
      const shown = document.createElement(tag);
      term.textContent = name;
      shown.textContent = value;
      text.append(shown);
      pair.append(term, text);
      list.append(pair);
    };
    add('arrived', entry.at);
    add('answered', entry.answered_at ? `${entry.answered_at}, after ${entry.millis} ms` : UNANSWERED[statusOf(entry)], entry.answered_at ? 'code' : 'span');
    add('path', entry.path);
    for (const [name, value] of new URLSearchParams(entry.query ?? '')) {
      add(`?${name}`, value);
    }
    add('route', entry.route ?? 'none: there is no such route');
    add('fault', entry.fault);
    add('user', entry.user);
    add('app', entry.app);
    const { scheme, client_id: id, fingerprint } = entry.authorization ?? {};
    add('Authorization', scheme && [scheme, id, fingerprint && `fingerprint ${fingerprint}`].filter(Boolean).join(', '));
    add('Accept', entry.accept);
    add('Content-Type', entry.content_type);
    add('User-Agent', entry.user_agent);
    add('connection', entry.connection);
    add('bytes sent', entry.request_bytes);
    add('body', entry.body && JSON.stringify(entry.body, null, 2), 'pre');
    cell.append(list);
    return row;
  }

  // Gives a row its details, or takes them, as `opened` has it. Where they stand is `show`'s to say.
  function unfold(row, entry) {
    const button = row.querySelector('.opener');
    row.details = opened.has(entry.number) ? details(entry) : undefined;
    button.setAttribute('aria-expanded', String(Boolean(row.details)));
    if (row.details) {
      button.setAttribute('aria-controls', row.details.id);
    } else {
      button.removeAttribute('aria-controls');
    }
  }

  function toggle(number) {
    if (!opened.delete(number)) {
      opened.add(number);
    }
    unfold(rows.get(number), readable().get(number));
    show();
  }

  function rowOf(entry) {
    let row = rows.get(entry.number);
    if (row && !entry.isNew) {
      return row;
    }
    if (!row) {
      row = part('entry').content.firstElementChild.cloneNode(true);
      row.querySelector('.opener').addEventListener('click', () => toggle(entry.number));
      rows.set(entry.number, row);
    }
    entry.isNew = false;
    fill(row, entry);
    unfold(row, entry);
    return row;
  }

  function wanted() {
    const found = [];
    const numbers = [...readable().keys()].sort((one, other) => other - one);
    for (const number of numbers) {
      const entry = readable().get(number);
      if (state.words.every((word) => entry.searched.includes(word))) {
        found.push(entry);
        if (found.length === SHOWN_MAX) {
          break;
        }
      }
    }
    return found;
  }

  function show() {
    state.due = false;
    const found = wanted();
    const body = part('journal-rows');
    const next = found.flatMap((entry) => {
      const row = rowOf(entry);
      return row.details ? [row, row.details] : [row];
    });
    const kept = new Set(next);
    for (const child of [...body.children]) {
      if (!kept.has(child)) {
        child.remove();
      }
    }
    next.forEach((row, place) => {
      if (body.children[place] !== row) {
        body.insertBefore(row, body.children[place] ?? null);
      }
    });
    for (const number of rows.keys()) {
      if (!kept.has(rows.get(number))) {
        rows.delete(number);
      }
    }
    note(found.length);
  }

  function note(shown) {
    const waiting = paused ? [...entries.values()].filter((entry) => !isIn(paused, entry)).length : 0;
    const { size } = readable();
    const first = size === 0
      ? `Nothing was asked ${paused ? 'before the pause' : 'yet'}.`
      : `${shown === SHOWN_MAX ? `The newest ${SHOWN_MAX}` : shown} of ${size} ${state.words.length > 0 ? 'match and ' : ''}are shown.`;
    const link = part('journal-note').querySelector('a');
    part('journal-note').replaceChildren(`${first} ${waiting > 0 ? `${waiting} more came since the pause. ` : ''}The journal keeps 10,000: `, link, '.');
  }

  function later() {
    if (!state.due) {
      state.due = true;
      requestAnimationFrame(show);
    }
  }

  // --- Hearing ---

  function hold(entry) {
    entry.isNew = true;
    entry.searched = searched(entry);
    entries.set(entry.number, entry);
    if (paused && isIn(paused, entry)) {
      paused.set(entry.number, entry);
    }
    if (entries.size > HELD_MAX) {
      entries.delete(entries.keys().next().value);
    }
    later();
  }

  function clear() {
    for (const known of [entries, rows, opened]) {
      known.clear();
    }
    paused &&= new Map();
    later();
  }

  // Forgets the rows of requests that are held no more, or whose number is another's now.
  function forget(before) {
    for (const entry of before.values()) {
      if (!isIn(readable(), entry)) {
        rows.delete(entry.number);
        opened.delete(entry.number);
      }
    }
  }

  // Reads what the sandbox holds, in the place of what was held here.
  const load = inTurn(async () => {
    try {
      state.heard = [];
      state.loading = true;
      const { requests } = await ask('GET', `/_sandbox/journal?limit=${LOADED_MAX}`);
      const before = new Map(entries);
      entries.clear();
      requests.forEach(hold);
      // What came while that was on its way.
      state.heard.forEach(hold);
      forget(before);
      later();
    } catch {
      // Then the connection is lost again, and what brings it back loads.
    } finally {
      state.loading = false;
    }
  });

  function said(name, text) {
    part('journal-state').dataset.state = name;
    part('journal-state').textContent = text;
  }

  function listen() {
    const source = new EventSource('/_sandbox/journal/live');
    const hear = ({ type, data }) => {
      const entry = JSON.parse(data);
      hold(entry);
      if (state.loading) {
        state.heard.push(entry);
      }
      if (type === 'settled' && !state.refreshDue) {
        // What was asked may have changed what the tables show.
        state.refreshDue = true;
        setTimeout(() => { state.refreshDue = false; refresh(); }, REFRESH_PAUSE_MILLIS);
      }
    };
    source.addEventListener('arrived', hear);
    source.addEventListener('abandoned', hear);
    source.addEventListener('settled', hear);
    source.addEventListener('open', () => {
      said('live', 'Live');
      // Whatever was missed is in there, also after another sandbox has taken the place of the first.
      load();
      refresh();
    });
    source.addEventListener('error', () => {
      said('lost', 'Connection lost, trying again…');
      if (source.readyState === EventSource.CLOSED) {
        setTimeout(listen, RETRY_MILLIS);
      }
    });
  }

  part('journal-filter').addEventListener('input', ({ target }) => {
    state.words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
    later();
  });
  part('journal-pause').addEventListener('click', ({ currentTarget }) => {
    const before = paused;
    paused = paused ? undefined : new Map(entries);
    forget(before ?? new Map());
    currentTarget.setAttribute('aria-pressed', String(Boolean(paused)));
    later();
  });
  listen();

  return {
    empty: clear,
    // Somebody else has emptied it.
    noteEmptied() {
      if (entries.size > 0) {
        load();
      }
    },
  };
}
