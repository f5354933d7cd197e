// The live journal: the server's events, newest first. It keeps the entries that the sandbox keeps, and shows the
// newest of them, so that ten thousand requests stay fast.

const ENTRIES_MAX = 10_000;
const SHOWN_MAX = 200;
const LOADED_MAX = 1000;
const REFRESH_PAUSE_MILLIS = 300;
const RETRY_MILLIS = 3000;

const part = (name) => document.getElementById(name);

// Characters that hide or reorder the text around them.
const DECEPTIVE = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;
const PATH_CHARACTERS_MAX = 200;

function presentable(text) {
  const shown = text.slice(0, PATH_CHARACTERS_MAX).replace(DECEPTIVE, '\ufffd');
  return text.length > PATH_CHARACTERS_MAX ? `${shown}…` : shown;
}

const query = (entry) => (entry.query ? `?${entry.query}` : '');
// The meanings of the texts in place of a status.
const UNANSWERED = { left: 'never: the client disconnected', cut: 'never: the connection was cut', waiting: 'not yet' };
function statusOf(entry) {
  if (entry.abandoned) return 'left';
  return entry.status ?? (entry.settled ? 'cut' : 'waiting');
}
const caller = (entry) => entry.user ?? entry.app ?? '';
const clock = (at) => {
  const date = new Date(at);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
};

// The text that the filter searches.
const searched = (entry) =>
  [entry.number, entry.method, entry.path + query(entry), statusOf(entry), entry.fault, entry.user, entry.app, entry.user_agent]
    .join(' ').toLowerCase();

export function followJournal({ callControl, refresh, inTurn }) {
  const entries = new Map();
  const rows = new Map();
  const opened = new Set();
  const state = { words: [], due: false, refreshDue: false, loading: false, received: [] };
  // The entries at the time of the pause, which stay visible until it ends: even if the connection breaks, or another
  // sandbox starts, which counts from 1 again.
  let paused;
  const readable = () => paused ?? entries;
  const isIn = (known, entry) => known.get(entry.number)?.at === entry.at;

  // --- Rendering ---

  function fill(row, entry) {
    const set = (selector, text) => { row.querySelector(selector).textContent = text; };
    set('.opener', entry.number);
    set('.time', clock(entry.at));
    set('.method', entry.method);
    set('.path', presentable(entry.path + query(entry)));
    set('.status', statusOf(entry));
    set('.tag', entry.fault ?? '');
    set('.who', caller(entry));
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
    add('route', entry.route ?? 'none');
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

  // Adds or removes the details of a row, as in `opened`. `show` places them.
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
      ? `No requests ${paused ? 'before the pause' : 'yet'}.`
      : `${shown === SHOWN_MAX ? `The newest ${SHOWN_MAX}` : shown} of ${size} ${state.words.length > 0 ? 'match and ' : ''}are shown.`;
    const link = part('journal-note').querySelector('a');
    part('journal-note').replaceChildren(`${first} ${waiting > 0 ? `${waiting} more since the pause. ` : ''}The journal keeps 10,000: `, link, '.');
  }

  function later() {
    if (!state.due) {
      state.due = true;
      requestAnimationFrame(show);
    }
  }

  // --- Receiving ---

  function store(entry) {
    entry.isNew = true;
    entry.searched = searched(entry);
    entries.set(entry.number, entry);
    if (paused && isIn(paused, entry)) {
      paused.set(entry.number, entry);
    }
    if (entries.size > ENTRIES_MAX) {
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

  // Removes the rows of entries that are gone, or whose number belongs to another entry now.
  function removeStaleRows(before) {
    for (const entry of before.values()) {
      if (!isIn(readable(), entry)) {
        rows.delete(entry.number);
        opened.delete(entry.number);
      }
    }
  }

  // Replaces the entries by those of the sandbox.
  const load = inTurn(async () => {
    try {
      state.received = [];
      state.loading = true;
      const { requests } = await callControl('GET', `/_sandbox/journal?limit=${LOADED_MAX}`);
      const before = new Map(entries);
      entries.clear();
      requests.forEach(store);
      // Events that arrived while it was loading.
      state.received.forEach(store);
      removeStaleRows(before);
      later();
    } catch {
      // The connection is lost again; the next one loads.
    } finally {
      state.loading = false;
    }
  });

  function showState(name, text) {
    part('journal-state').dataset.state = name;
    part('journal-state').textContent = text;
  }

  function listen() {
    const source = new EventSource('/_sandbox/journal/live');
    const receive = ({ type, data }) => {
      const entry = JSON.parse(data);
      store(entry);
      if (state.loading) {
        state.received.push(entry);
      }
      if (type === 'settled' && !state.refreshDue) {
        // The request may have changed what the tables show.
        state.refreshDue = true;
        setTimeout(() => { state.refreshDue = false; refresh(); }, REFRESH_PAUSE_MILLIS);
      }
    };
    source.addEventListener('arrived', receive);
    source.addEventListener('abandoned', receive);
    source.addEventListener('settled', receive);
    source.addEventListener('open', () => {
      showState('live', 'Live');
      // It contains all missed events, even if another sandbox has replaced the first.
      load();
      refresh();
    });
    source.addEventListener('error', () => {
      showState('lost', 'Connection lost, trying again…');
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
    removeStaleRows(before ?? new Map());
    currentTarget.setAttribute('aria-pressed', String(Boolean(paused)));
    later();
  });
  listen();

  return {
    empty: clear,
    // Another page has emptied the journal.
    reloadAfterEmptying() {
      if (entries.size > 0) {
        load();
      }
    },
  };
}
