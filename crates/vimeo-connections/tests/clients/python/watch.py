"""Watches an upload with httpx and httpx-sse as they are, with httpx's default timeouts, and cancels it after a silence.

Environment: URL of the job, API_KEY, SILENCE_SECONDS.
"""

import json
import os
import threading

import httpx
import httpx_sse

URL = os.environ["URL"]
HEADERS = {"Authorization": os.environ["API_KEY"]}


def main():
    events = []
    with httpx.Client(headers=HEADERS, trust_env=False) as client:
        with httpx_sse.connect_sse(client, "GET", f"{URL}/events") as source:
            for event in source.iter_sse():
                if not events:
                    seconds = float(os.environ["SILENCE_SECONDS"])
                    threading.Timer(seconds, lambda: httpx.delete(URL, headers=HEADERS, trust_env=False)).start()
                assert event.event == "job", event
                assert event.id and event.id != (events[-1].id if events else None), event
                job = json.loads(event.data)
                assert job["data"]["status"] in ("in-progress", "cancelled"), job
                events.append(event)
        assert events[0].retry == 2000, events[0]
        assert json.loads(events[-1].data)["data"]["status"] == "cancelled"
        # A client that has the last event need not reconnect.
        again = client.get(f"{URL}/events", headers={"Last-Event-ID": events[-1].id})
        assert again.status_code == 204, again
    print("done")


main()
