"""What scripts/fixture needs to talk to a service: requests, forms, and a server of files that receives webhooks."""

import http.server
import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

WAIT_SECONDS = 60
# A film is bytes that no one takes for a text.
FILM = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40
TRACK = b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"


def wait_until(what, find):
    """Waits until this finds something; what it finds."""
    started = time.monotonic()
    while not (found := find()):
        if time.monotonic() - started > WAIT_SECONDS:
            raise SystemExit(f"fixture: never happened: {what}")
        time.sleep(0.05)
    return found


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def json(self):
        return json.loads(self.text)


class Service:
    """A server at an address, with the cookies that it has set."""

    def __init__(self, url):
        self.url, self.cookies = url, {}
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)

    def send(self, method, path, data=None, headers=None):
        """Sends a request; the answer, whatever its status."""
        url = path if path.startswith("http") else self.url + path
        headers = {"User-Agent": "fixture"} | (headers or {})
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with self.opener.open(request, timeout=WAIT_SECONDS) as answer:
                found = Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            found = Answer(error.code, error.headers, error.read().decode())
        for line in found.headers.get_all("Set-Cookie") or []:
            name, value = line.split(";")[0].split("=", 1)
            self.cookies[name] = value
        return found

    def form(self, page, action, **fields):
        """Opens a page, and sends the form on it that has this action, with its hidden fields."""
        text = expect(200, self.send("GET", page)).text
        form = text[text.index(f'action="{action}"'):].split("</form>")[0]
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form))
        data = urllib.parse.urlencode(hidden | fields, doseq=True).encode()
        return self.send("POST", action, data, {"Content-Type": "application/x-www-form-urlencoded"})


def expect(status, answer):
    if answer.status != status:
        raise SystemExit(f"fixture: {answer.status} instead of {status}: {answer.text}")
    return answer


class Client:
    """Requests of one API key."""

    def __init__(self, service, key):
        self.service, self.key = service, key

    def send(self, method, path, body=None, status=200, headers=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": self.key, "Content-Type": "application/json"} | (headers or {})
        answer = expect(status, self.service.send(method, f"/pictoryapis/v1{path}", data, headers))
        return answer.json() if answer.text else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/held"):
            # The first bytes of a film, and then none until the service gives up.
            self.start(200, 64 << 20, FILM)
            self.server.ended.wait()
        elif self.path.startswith("/missing"):
            self.start(404, 0, b"")
        elif self.path.startswith("/track"):
            self.start(200, len(TRACK), TRACK)
        else:
            first = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if first:
                start, end = int(first[1]), int(first[2] or len(FILM) - 1)
                part = FILM[start:end + 1]
                self.start(206, len(part), part, f"bytes {start}-{start + len(part) - 1}/{len(FILM)}")
            else:
                self.start(200, len(FILM), FILM)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        statuses = {"/works": 200, "/fails": 500, "/gone": 410}
        self.start(statuses[self.path], 0, b"")

    def start(self, status, length, data, content_range=None):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.send_header("ETag", '"1"')
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_):
        pass


class Files:
    """A server of films and tracks, and a receiver of webhooks, on a free port."""

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.ended = True, threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}/{path}"
