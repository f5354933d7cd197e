// What the dashboard's pages do beyond links and forms: local times, copying, live updates, and sending files.
// Every page works without it. All texts are in the pages.
(() => {
  "use strict";

  const root = document.documentElement;
  const find = (selector, from = document) => from.querySelector(selector);
  const findAll = (selector, from = document) => [...from.querySelectorAll(selector)];
  root.classList.add("scripted");

  // Times.

  const english = navigator.languages.find((language) => language.startsWith("en")) ?? "en-GB";
  const exact = new Intl.DateTimeFormat(english, { dateStyle: "medium", timeStyle: "short" });
  const thisYear = new Intl.DateTimeFormat(english, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
  const otherYear = new Intl.DateTimeFormat(english, { dateStyle: "medium" });
  const relative = new Intl.RelativeTimeFormat(english, { numeric: "auto" });

  // Some times are known to the hour only, and name its start.
  function timeText(at, isHour) {
    const seconds = (at - Date.now()) / 1000;
    const distance = Math.abs(seconds);
    if (isHour && distance < 84600) return relative.format(Math.ceil(seconds / 3600), "hour");
    if (distance < 45) return relative.format(0, "second");
    if (distance < 3570) return relative.format(Math.round(seconds / 60), "minute");
    if (distance < 84600) return relative.format(Math.round(seconds / 3600), "hour");
    return (at.getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(at);
  }

  function showTimes(from) {
    for (const time of findAll("time[datetime]", from)) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      if (!time.title) time.title = `${exact.format(at)} (${time.textContent})`;
      const text = timeText(at, "hour" in time.dataset);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Announcements for screen readers: at most one every four seconds.

  let waiting = [];
  let announcing = 0;

  function announce(text) {
    if (!text) return;
    waiting.push(text);
    if (announcing) return;
    const speak = () => {
      const place = find("#announcer");
      if (place && waiting.length) place.textContent = waiting.slice(-3).join(" ");
      announcing = waiting.length ? setTimeout(speak, 4000) : 0;
      waiting = [];
    };
    announcing = setTimeout(speak, 200);
  }

  // Copying.

  async function copy(button) {
    const text = document.getElementById(button.dataset.copy);
    const label = button.textContent;
    const copied = find("#main").dataset.copied;
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text);
      return;
    }
    button.textContent = copied;
    announce(copied);
    setTimeout(() => { button.textContent = label; }, 2000);
  }

  // Live updates. The element with data-live names a stream of server-sent events:
  //   update   one or more elements with IDs; each replaces the element on the page that has its ID
  //   announce a sentence for screen readers
  //   new      a sentence about records that this page does not show
  //   reload   the page has changed as a whole
  //   end      nothing will change any more

  let source = null;
  let isPaused = false;

  function morph(old, next) {
    if (old.isEqualNode(next)) return old;
    if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) {
      old.replaceWith(next);
      return next;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = next.nodeValue;
      return old;
    }
    for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    let place = old.firstChild;
    for (const child of [...next.childNodes]) {
      const known = child.id && [...old.children].find((one) => one.id === child.id);
      if (known && known !== place) old.insertBefore(known, place);
      const match = known || (place && !(child.id || place.id) ? place : null);
      if (match) {
        place = morph(match, child).nextSibling;
      } else {
        old.insertBefore(child, place);
      }
    }
    while (place) {
      const after = place.nextSibling;
      place.remove();
      place = after;
    }
    return old;
  }

  function update(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    showTimes(template.content);
    for (const next of [...template.content.children]) {
      const old = next.id && document.getElementById(next.id);
      if (old) morph(old, next);
    }
    showBulk();
  }

  function disconnect() {
    source?.close();
    source = null;
  }

  function showNote(area, text) {
    const note = find(".live-note", area);
    if (!note || note.textContent === text) return;
    note.textContent = text;
    note.hidden = !text;
  }

  function connect() {
    disconnect();
    const area = find("[data-live]");
    if (!area || isPaused || document.hidden || area.dataset.ended) return;
    const stream = new EventSource(area.dataset.live);
    source = stream;
    stream.addEventListener("open", () => showNote(area, ""));
    stream.addEventListener("update", ({ data }) => update(data));
    stream.addEventListener("announce", ({ data }) => announce(data));
    stream.addEventListener("reload", () => location.reload());
    stream.addEventListener("new", ({ data }) => {
      const note = find(".live-new", area);
      if (!note) return;
      find("a", note).textContent = data;
      note.hidden = false;
    });
    stream.addEventListener("end", () => {
      area.dataset.ended = "true";
      for (const past of findAll("[data-live-toggle], [data-until-end]")) past.hidden = true;
      disconnect();
    });
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED) return;
      showNote(area, area.dataset.stopped);
      for (const toggle of findAll("[data-live-toggle]")) toggle.hidden = true;
      for (const refresh of findAll("[data-live-refresh]")) refresh.hidden = false;
    });
  }

  function togglePause(button) {
    isPaused = !isPaused;
    button.setAttribute("aria-pressed", String(isPaused));
    button.textContent = isPaused ? button.dataset.resume : button.dataset.pause;
    connect();
  }

  // Forms.

  function setBusy(form) {
    const button = find("button[data-busy]", form);
    if (!button) return;
    button.dataset.label = button.textContent;
    button.textContent = button.dataset.busy;
    button.setAttribute("aria-busy", "true");
  }

  function clearBusy(from = document) {
    for (const form of [from, ...findAll("form[data-sent]", from)]) if (form.dataset) delete form.dataset.sent;
    for (const button of findAll("button[aria-busy]", from)) {
      button.textContent = button.dataset.label;
      button.removeAttribute("aria-busy");
    }
  }

  function showErrors(form, message, fields) {
    const place = find(".upload-errors", form);
    for (const old of findAll(".error[data-own]", form)) old.remove();
    for (const input of findAll("[aria-invalid]", form)) input.removeAttribute("aria-invalid");
    const title = document.createElement("h2");
    title.textContent = place.dataset.title;
    const list = document.createElement("ul");
    for (const { name, message: text } of fields) {
      const link = document.createElement("a");
      link.href = `#${name}`;
      link.textContent = text;
      list.append(document.createElement("li"));
      list.lastChild.append(link);
      const input = document.getElementById(name);
      if (!input) continue;
      const error = document.createElement("p");
      Object.assign(error, { className: "error", id: `${name}-error`, textContent: text });
      error.dataset.own = "true";
      input.before(error);
      input.setAttribute("aria-invalid", "true");
      const hint = document.getElementById(`${name}-hint`);
      input.setAttribute("aria-describedby", hint ? `${error.id} ${hint.id}` : error.id);
    }
    const general = document.createElement("p");
    general.textContent = message;
    place.className = "upload-errors problem bad";
    place.replaceChildren(title, ...(message ? [general] : []), ...(fields.length ? [list] : []));
    place.hidden = false;
    place.tabIndex = -1;
    place.focus();
  }

  // Sending a file to Vimeo.

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  function bytesText(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; bytes >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
    return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
  }

  function durationText(seconds) {
    const [amount, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
    return new Intl.NumberFormat(english, { style: "unit", unit, unitDisplay: "long" }).format(Math.ceil(amount));
  }

  function send(file, { uploadLink, href, cancelHref }) {
    const area = find("#sending");
    const part = (name) => find(`[data-part=${name}]`, area);
    const show = (state) => {
      isActive = state === "active";
      part("state").textContent = area.dataset[state];
      // Without the rate and the time, which are those of before.
      if (state !== "active") part("numbers").textContent = part("numbers").textContent.split(" · ")[0];
    };
    const pause = part("pause");
    let isDone = false;
    let isStopped = false;
    let isActive = true;
    let last = { at: performance.now(), sent: 0, rate: 0 };

    const upload = new tus.Upload(file, {
      uploadUrl: uploadLink,
      retryDelays: [0, 1000, 3000, 5000, 10000, 20000, 30000, 60000],
      storeFingerprintForResuming: false,
      onProgress(sent, total) {
        const at = performance.now();
        find("progress", area).value = total ? (sent / total) * 100 : 100;
        if (at - last.at < 500 && sent < total) return;
        const rate = (Math.max(0, sent - last.sent) / (at - last.at)) * 1000;
        last = { at, sent, rate: last.rate ? last.rate * 0.7 + rate * 0.3 : rate };
        // What was buffered before the network was lost may still be counted.
        if (!isActive && sent < total) return;
        const amount = fill(area.dataset.of, { sent: bytesText(sent), total: bytesText(total), rate: bytesText(last.rate) });
        const left = last.rate ? fill(area.dataset.left, { time: durationText((total - sent) / last.rate) }) : "";
        part("numbers").textContent = left && sent < total ? `${amount} · ${left}` : amount;
      },
      onSuccess() {
        isDone = true;
        pause.hidden = true;
        part("cancel").hidden = true;
        part("keep").hidden = true;
        find("progress", area).value = 100;
        find("h2", area).textContent = area.dataset.sent;
        part("open").classList.add("primary");
        show("done");
      },
      onError() {
        isStopped = true;
        pause.textContent = pause.dataset.resume;
        show(navigator.onLine ? "failed" : "offline");
      },
    });

    const start = () => {
      isStopped = false;
      last = { ...last, at: performance.now() };
      pause.textContent = pause.dataset.pause;
      show("active");
      upload.start();
    };
    pause.addEventListener("click", () => {
      if (isStopped) {
        start();
        return;
      }
      isStopped = true;
      upload.abort();
      pause.textContent = pause.dataset.resume;
      show("paused");
    });
    addEventListener("offline", () => { if (!isDone && !isStopped) show("offline"); });
    addEventListener("online", () => {
      if (!isDone && part("state").textContent === area.dataset.offline) {
        upload.abort().then(start, start);
      }
    });
    addEventListener("beforeunload", (event) => { if (!isDone) event.preventDefault(); });
    part("cancel").addEventListener("submit", () => {
      isDone = true;
      upload.abort();
    });
    part("cancel").action = cancelHref;
    part("open").href = href;
    part("file").textContent = file.name;
    area.hidden = false;
    area.focus();
    start();
  }

  async function startUpload(form) {
    const file = find("#file", form).files[0];
    if (!file) {
      find("#file", form).reportValidity();
      return;
    }
    setBusy(form);
    const fields = new URLSearchParams(new FormData(form));
    fields.delete("source");
    fields.delete("kind");
    fields.set("size", String(file.size));
    fields.set("fileName", file.name);
    let answer = {};
    let isCreated = false;
    try {
      const response = await fetch(form.dataset.upload, { method: "POST", body: fields, headers: { Accept: "application/json" } });
      isCreated = response.status === 201;
      answer = await response.json();
    } catch {
      isCreated = false;
    }
    clearBusy();
    if (!isCreated) {
      showErrors(form, answer.message ?? find("#sending").dataset.refused, answer.fields ?? []);
      return;
    }
    form.hidden = true;
    send(file, answer);
  }

  function chooseKind(form) {
    const kind = find("[name=kind]:checked", form).value;
    for (const area of findAll("[data-kind]", form)) area.hidden = area.dataset.kind !== kind;
    find("#source", form).required = kind === "url";
    find("#file", form).required = kind === "file";
    // What is wrong with the other kind no longer matters.
    const input = find("#source", form);
    if (kind === "file" && input.matches("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      for (const past of findAll("#source-error, .summary li:has([href='#source'])", form)) past.remove();
      if (!find(".summary :is(li, p)", form)) find(".summary", form)?.remove();
    }
  }

  // Events of the page.

  document.addEventListener("click", (event) => {
    const copyButton = event.target.closest("[data-copy]");
    if (copyButton) copy(copyButton);
    const toggle = event.target.closest("[data-live-toggle]");
    if (toggle) togglePause(toggle);
    for (const menu of findAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && find("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    find("summary", menu).focus();
  });

  function showBulk() {
    for (const bar of findAll("[data-bulk]")) {
      const count = findAll("input[name=jobId]:checked", bar.parentElement).length;
      const text = find("[data-selected]", bar);
      bar.hidden = count === 0;
      text.textContent = fill(text.dataset.selected, { count });
    }
    for (const box of findAll("[data-tick-all]")) box.hidden = !find("input[name=jobId]", box.closest("table"));
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-all]")) {
      for (const box of findAll("input[name=jobId]", event.target.closest("table"))) box.checked = event.target.checked;
    }
    if (event.target.name === "kind") chooseKind(event.target.form);
    showBulk();
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    const kind = form.dataset.upload && find("[name=kind]:checked", form)?.value;
    if (kind === "file") {
      event.preventDefault();
      startUpload(form);
    } else if (form.dataset.sent) {
      event.preventDefault();
    } else {
      form.dataset.sent = "true";
      setBusy(form);
      // No event says that the person has stopped the page from loading. A form with an ID has no second effect.
      if (form.elements.requestId) setTimeout(clearBusy, 30000, form);
    }
  });

  document.addEventListener("visibilitychange", connect);
  addEventListener("pageshow", (event) => { if (event.persisted) { clearBusy(); connect(); } });
  addEventListener("pagehide", disconnect);

  function showFailure(text) {
    const place = find("#failure");
    if (!place) return;
    place.textContent = text;
    place.className = text ? "flash bad" : "";
    place.hidden = !text;
  }

  // A response without the part that was asked for, for example an error or the page for signing in, is opened as a page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { pathInfo, target, serverResponse } = event.detail;
    if (serverResponse.includes(`id="${target.id}"`)) return;
    event.detail.shouldSwap = false;
    if (target.id === "results") location.assign(pathInfo.finalRequestPath);
    else location.reload();
  });
  document.addEventListener("htmx:afterRequest", () => clearBusy());
  document.addEventListener("htmx:sendError", () => showFailure(find("#main").dataset.unreachable));
  document.addEventListener("htmx:beforeRequest", () => showFailure(""));
  document.addEventListener("htmx:afterSettle", (event) => {
    showTimes(document);
    showBulk();
    const results = find("#results");
    if (document.activeElement === document.body) (event.detail.target?.id === "results" ? results : find("#main"))?.focus({ preventScroll: true });
    announce(event.detail.target?.id === "results" ? results?.dataset.count : find(".flash")?.textContent);
    connect();
  });

  if (window.htmx) root.classList.add("filtering");
  showTimes(document);
  showBulk();
  setInterval(() => { if (!document.hidden) showTimes(document); }, 30000);
  for (const form of findAll("form[data-upload]")) {
    if (window.tus?.isSupported) chooseKind(form);
    else for (const area of findAll(".segments", form)) area.hidden = true;
  }
  // Not scrollIntoView, which would also move the place where the Tab key starts.
  const current = find(".tabs [aria-current]");
  if (current) find(".tabs ul").scrollLeft = Math.max(0, current.getBoundingClientRect().right - innerWidth + 40);
  find("[data-focus]")?.focus();
  connect();
})();
