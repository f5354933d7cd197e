// Watches an upload with @microsoft/fetch-event-source as it is, and cancels it after a silence.
//
// Environment: URL of the job, API_KEY, SILENCE_SECONDS.
"use strict";

const assert = require("node:assert");

// What the library wants of a browser.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

const { EventStreamContentType, fetchEventSource } = require("@microsoft/fetch-event-source");

const { URL: url, API_KEY, SILENCE_SECONDS } = process.env;
const headers = { Authorization: API_KEY };

async function main() {
  const events = [];
  await fetchEventSource(`${url}/events`, {
    headers,
    async onopen(response) {
      assert.strictEqual(response.status, 200);
      assert.strictEqual(response.headers.get("content-type"), EventStreamContentType);
    },
    onmessage(event) {
      if (events.length === 0) {
        setTimeout(() => fetch(url, { method: "DELETE", headers }), Number(SILENCE_SECONDS) * 1000);
        assert.strictEqual(event.retry, 2000);
      }
      assert.strictEqual(event.event, "job");
      assert.notStrictEqual(event.id, events.at(-1)?.id);
      assert(["in-progress", "cancelled"].includes(JSON.parse(event.data).data.status), event.data);
      events.push(event);
    },
    onerror(error) {
      throw error;
    },
  });
  assert.strictEqual(JSON.parse(events.at(-1).data).data.status, "cancelled");
  const again = await fetch(`${url}/events`, { headers: { ...headers, "Last-Event-ID": events.at(-1).id } });
  assert.strictEqual(again.status, 204);
  console.log("done");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
