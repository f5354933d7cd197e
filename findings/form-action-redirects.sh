#!/usr/bin/env bash
# Chromium holds the form-action of a page's content security policy against every redirect that follows one of its forms,
# also against those of other servers. A page that starts OAuth with a form and `form-action 'self' https://provider.example`
# works until the provider sends the browser to another of its own origins, for example to log in: then Chromium stays on the
# page and shows nothing. A link to the same path, or a page with a refresh after the form, gets there.
#
# Output seen on 2026-11-30, with Debian's 148.0.7778.167-1~deb12u1:
#
#     form, redirect to the allowed origin                                arrives
#     form, redirect to the allowed origin, which redirects elsewhere     stays
#     link, the same redirects                                            arrives
#     form, page with a refresh, the same redirects                       arrives
#
# Needs Debian 12 (bookworm) with its packages chromium and python3. Runs servers on 127.0.0.1, installs nothing, and fails if
# a result changes.
set -euo pipefail

directory=$(mktemp -d)
pid=''
end() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    rm -rf "$directory"
}
trap end EXIT
cat >"$directory/servers.py" <<'PYTHON'
# An application, a provider, and another origin of the provider. Prints the port of the application.
import http.server
import threading
from urllib.parse import urlsplit

ports = {}


class Server(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        print(self.server.name, urlsplit(self.path).path, flush=True)

    def page(self, body, policy=None):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body.encode())

    def redirect(self, url):
        self.send_response(303)
        self.send_header("Location", url)
        self.end_headers()

    def do_GET(self):
        path = urlsplit(self.path).path
        provider = f"http://127.0.0.1:{ports['provider']}"
        elsewhere = f"http://127.0.0.1:{ports['elsewhere']}"
        policy = f"form-action 'self' {provider}"
        if self.server.name == "elsewhere" or path == "/consent":
            self.page("<p>Consent</p>")
        elif self.server.name == "provider":
            self.redirect(f"{elsewhere}/log-in")
        elif path in ("/near", "/far", "/refresh"):
            form = f"<form method=post action=/start{path}></form><script>document.forms[0].submit()</script>"
            self.page(form, policy)
        elif path == "/link":
            self.page("<a href=/start/far></a><script>document.links[0].click()</script>", policy)
        else:
            self.start(path, provider)

    def do_POST(self):
        self.start(urlsplit(self.path).path, f"http://127.0.0.1:{ports['provider']}")

    def start(self, path, provider):
        if path == "/start/refresh":
            self.page(f'<meta http-equiv="refresh" content="0; url={provider}/authorize">', "form-action 'self'")
        else:
            self.redirect(f"{provider}/{'consent' if path == '/start/near' else 'authorize'}")


for name in ("application", "provider", "elsewhere"):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.name = name
    ports[name] = server.server_port
    threading.Thread(target=server.serve_forever).start()
print(ports["application"], flush=True)
PYTHON
python3 "$directory/servers.py" >>"$directory/log" &
pid=$!
until [ -s "$directory/log" ]; do sleep 0.1; done
port=$(head -n 1 "$directory/log")
chromium --version 2>/dev/null

failed=0
while IFS='|' read -r path label expected; do
    : >"$directory/log"
    timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$directory/profile" --remote-debugging-port=0 \
        "http://127.0.0.1:$port/$path" >/dev/null 2>&1 &
    browser=$!
    # Where the browser stays, it has asked the provider, and nothing follows.
    seen=nothing
    for _ in $(seq 200); do
        if grep -q -e '^elsewhere /log-in' -e '^provider /consent' "$directory/log"; then
            seen=arrives
            break
        fi
        if grep -q '^provider /authorize' "$directory/log"; then
            sleep 3
            seen=stays
            ! grep -q '^elsewhere /log-in' "$directory/log" || seen=arrives
            break
        fi
        sleep 0.1
    done
    kill "$browser" 2>/dev/null || true
    wait "$browser" 2>/dev/null || true
    printf '%-67s %s\n' "$label" "$seen"
    [ "$seen" = "$expected" ] || failed=1
done <<'TEXT'
near|form, redirect to the allowed origin|arrives
far|form, redirect to the allowed origin, which redirects elsewhere|stays
link|link, the same redirects|arrives
refresh|form, page with a refresh, the same redirects|arrives
TEXT
exit "$failed"
