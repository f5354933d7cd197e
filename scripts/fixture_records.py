"""The records of scripts/fixture: some of every kind, in as many states as they stay in while no node works on them."""

import datetime
import json
import re
import urllib.parse

from fixture_requests import Client, Service, expect, wait_until

# At most a year ahead is accepted.
FAR = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=364)
FIRST, SECOND = "first-account", "second-account"
IMPORTED = "pictai_fixture-not-secret-8f14e45fceea167a5a36dedd4bea25431b2a"


def make(installation, vimeo, files):
    """Makes all records; what a test needs to check them."""
    contents = {"accounts": [FIRST, SECOND], "vimeo": vimeo, "keys": {}, "idempotent": []}
    for account in (FIRST, SECOND):
        installation.run("accounts", "create", account)
        made = installation.run("keys", "create", "--account", account, "--name", "owner", "--json")
        add_key(contents, account, "owner", json.loads(made)["key"], True)
    limits = ["connections=50", "jobs-in-progress=20", "requests-per-minute=100000"]
    for limit in limits:
        installation.run("accounts", "limits", SECOND, "--set", limit)
    # Each event is sent twice at most.
    with installation.serve(delay="1") as service:
        records = Records(installation, service, vimeo, files, contents)
        records.make_keys()
        records.make_connections()
        records.make_endpoints()
        records.make_jobs()
        records.make_authorizations()
        records.make_sessions()
        records.wait_for_deliveries("delivered", "exhausted")
    # The second attempt comes a week later.
    with installation.serve(delay="604800") as service:
        records.service = service
        records.make_waiting_deliveries()
    # No node works, so that nothing changes any more.
    with installation.serve(work="false") as service:
        records.service = service
        records.make_queued_job()
        records.make_stored_responses()
        expect(200, service.send("GET", "/health/ready"))
        contents["answers"] = records.answers()
        wait_until("all audit events are linked", lambda: installation.unlinked_events() == 0)
    return contents


def add_key(contents, account, name, key, is_accepted):
    contents["keys"][f"{account} {name}"] = {"account": account, "key": key, "is_accepted": is_accepted}


class Records:
    def __init__(self, installation, service, vimeo, files, contents):
        self.installation, self.service, self.vimeo, self.files = installation, service, vimeo, files
        self.contents, self.sandbox = contents, Service(vimeo["base_url"])
        self.connections = {}

    def client(self, account=FIRST):
        return Client(self.service, self.contents["keys"][f"{account} owner"]["key"])

    def send(self, method, path, body=None, status=200, account=FIRST, headers=None):
        return self.client(account).send(method, path, body, status, headers)

    def control(self, method, path, body):
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        answer = self.sandbox.send(method, f"/_sandbox/{path}", data, headers)
        return json.loads(answer.text) if answer.text else None

    # API keys.

    def make_keys(self):
        def create(name, is_accepted, status=201, **fields):
            made = self.send("POST", "/api-keys", {"name": name} | fields, status)
            add_key(self.contents, FIRST, name, made["key"], is_accepted)
            return made["keyId"]

        create("reader", True, scopes=["connections:read", "uploads:read"])
        create("expires in a century", True, expiresInDays=36500)
        revoked = create("revoked", False)
        self.send("DELETE", f"/api-keys/{revoked}", status=204)
        renamed = create("to rename", True)
        self.send("PATCH", f"/api-keys/{renamed}", {"name": "renamed"})
        rotated = create("rotated", False)
        made = self.send("POST", f"/api-keys/{rotated}/rotate", {"overlapSeconds": 0}, 201)
        add_key(self.contents, FIRST, "successor", made["key"], True)
        run = self.installation.run
        made = run("keys", "create", "--account", FIRST, "--name", "expired", "--expires-in-days", "0", "--json")
        add_key(self.contents, FIRST, "expired", json.loads(made)["key"], False)
        run("keys", "import", "--account", SECOND, text=IMPORTED + "\n")
        add_key(self.contents, SECOND, "imported", IMPORTED, True)

    # Connections.

    def body(self, name, **fields):
        return {
            "name": name,
            "description": f"The connection {name}",
            "enabled": True,
            "clientIdentifier": self.vimeo["client_id"],
            "clientSecret": self.vimeo["client_secret"],
            "accessToken": self.vimeo["access_token"],
        } | fields

    def make_connections(self):
        def create(name, account=FIRST, **fields):
            made = self.send("POST", "/vimeo-connections", self.body(name, **fields), 201, account)
            self.connections[name] = made["connectionId"]
            return made["connectionId"]

        films = create("Films")
        create("Disabled", enabled=False)
        create("Without description", description=None)
        create("Grüße 映画")
        create("Films", SECOND)
        self.connections["Films of the second account"], self.connections["Films"] = self.connections["Films"], films
        updated = create("To update")
        self.send("PUT", f"/vimeo-connections/{updated}", {"version": 1, "name": "Updated", "description": "Changed"})
        deleted = create("Deleted")
        self.send("DELETE", f"/vimeo-connections/{deleted}", status=204)
        token = self.control("POST", "tokens", {"app": self.vimeo["client_id"]})
        unhealthy = create("Unhealthy", accessToken=token["access_token"])
        self.control("DELETE", f"tokens/{token['fingerprint']}", None)
        for connection in (films, unhealthy):
            self.send("POST", f"/vimeo-connections/{connection}/verify")
        refused = self.body("Refused", accessToken="unknown-token-of-the-fixture")
        self.send("POST", "/vimeo-connections", refused, 422)

    # Webhooks.

    def make_endpoints(self):
        endpoints = {}

        def create(name, path, account=FIRST, **fields):
            made = self.send("POST", "/webhook-endpoints", {"url": self.files.url(path)} | fields, 201, account)
            endpoints[name] = {"account": account, "id": made["endpointId"], "secret": made["secret"]}
            return made["endpointId"]

        create("working", "works")
        create("of the second account", "works", SECOND)
        create("failing", "fails", events=["connection.created", "upload.failed"])
        create("gone", "gone", events=["connection.created", "webhook_endpoint.disabled"])
        create("disabled", "works", enabled=False)
        rotated = create("rotated", "works", events=["upload.completed"])
        answer = self.send("POST", f"/webhook-endpoints/{rotated}/rotate-secret")
        endpoints["rotated"]["secret"] = answer["secret"]
        self.send("POST", f"/webhook-endpoints/{endpoints['working']['id']}/test", status=202)
        # Each receives the event of this one.
        made = self.send("POST", "/vimeo-connections", self.body("Announced"), 201)
        self.connections["Announced"] = made["connectionId"]
        secrets = [self.send("POST", "/webhook-secret", status=201)["secret"] for _ in range(2)]
        self.contents["endpoints"], self.contents["webhook_secrets"] = endpoints, secrets

    def wait_for_deliveries(self, *statuses):
        for status in statuses:
            path = f"/webhook-deliveries?status={status}"
            wait_until(f"a delivery is {status}", lambda: self.send("GET", path)["items"])
        wait_until("no delivery waits", lambda: not self.send("GET", "/webhook-deliveries?status=waiting")["items"])

    def make_waiting_deliveries(self):
        """One to an endpoint, and one to the URL that an upload names."""
        self.send("POST", "/vimeo-connections", self.body("Announced later"), 201)
        source = {"url": self.files.url("missing.mp4")}
        self.submit("failed and announced", {"source": source, "webhook": self.files.url("fails")}, phase="failed")
        path = "/webhook-deliveries?status=waiting"
        find = lambda: self.send("GET", path)["items"]  # noqa: E731
        wait_until("the deliveries wait", lambda: len(find()) > 1 and all(item["attempts"] for item in find()))

    # Jobs.

    def submit(self, name, body, connection="Films", account=FIRST, phase=None):
        """Requests an upload, and waits for its phase; the job and the response."""
        status = 202 if "url" in body["source"] else 201
        path = f"/vimeo-connections/{self.connections[connection]}/uploads"
        accepted = self.send("POST", path, body, status, account)
        self.contents.setdefault("jobs", {})[name] = accepted["data"]["jobId"]
        return self.wait(name, phase, account), accepted

    def wait(self, name, phase, account=FIRST):
        job = self.contents["jobs"][name]
        find = lambda: self.send("GET", f"/jobs/{job}", account=account)["data"]  # noqa: E731
        if phase:
            wait_until(f"{name} is {phase}", lambda: find()["phase"] == phase)
        return find()

    def make_jobs(self):
        film = {"url": self.files.url("film.mp4?fixture-source")}
        everything = {
            "source": film, "name": "A film", "folder_name": "Fixture", "license": "by", "locale": "en",
            "privacy": {"view": "password"}, "password": "fixture-film-password", "tags": ["sea", "summer"],
            "chapters": [{"timecode": 0, "title": "Start"}], "webhook": self.files.url("works"),
            "webhookInput": {"order": 7}, "showcases": ["Fixture"],
            "textTracks": [{"url": self.files.url("track.vtt"), "type": "captions", "language": "en"}],
        }
        completed, _ = self.submit("completed", everything, phase="completed")
        self.submit("of the second account", {"source": film}, "Films of the second account", SECOND, "completed")
        self.submit("replacement", {"source": film, "replaces": completed["vimeoUri"]}, phase="completed")
        self.submit("scheduled", {"source": film, "publishAt": FAR.strftime("%Y-%m-%dT%H:%M:%SZ"), "name": "Later"}, phase="scheduled")
        missing = {"source": {"url": self.files.url("missing.mp4?fixture-source")}, "name": "Missing"}
        self.submit("failed", missing, phase="failed")
        self.submit("failed and retried", missing, phase="failed")
        again = self.send("POST", f"/jobs/{self.contents['jobs']['failed and retried']}/retry", status=202)
        self.contents["jobs"]["retry"] = again["data"]["jobId"]
        self.wait("retry", "failed")
        self.submit("cancelled", {"source": {"size": 5_000}}, phase="uploading")
        self.send("DELETE", f"/jobs/{self.contents['jobs']['cancelled']}", status=204)
        self.wait("cancelled", "cancelled")
        _, accepted = self.submit("by the client", {"source": {"size": 2_000}, "name": "Sent"}, phase="uploading")
        tus = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        expect(204, self.service.send("PATCH", accepted["data"]["uploadLink"], bytes(500), tus))
        self.submit("interrupted", {"source": {"url": self.files.url("held.mp4")}}, phase="uploading")
        unreachable = {"source": {"url": "http://127.0.0.1:9/film.mp4"}, "name": "Unreachable"}
        self.submit("unreachable", unreachable)
        job = self.contents["jobs"]["unreachable"]
        wait_until("its source is refused", lambda: "waitingFor" in self.send("GET", f"/jobs/{job}")["data"])

    def make_queued_job(self):
        self.submit("queued", {"source": {"url": self.files.url("film.mp4")}, "name": "Queued"}, phase="queued")

    def make_stored_responses(self):
        """Creates with an idempotency key, whose responses are stored: one of them sealed, because it has a link."""
        def remember(path, body, status):
            data = json.dumps(body)
            key = f"fixture-{len(self.contents['idempotent'])}"
            headers = {"Authorization": self.client().key, "Content-Type": "application/json", "Idempotency-Key": key}
            answer = expect(status, self.service.send("POST", path, data.encode(), headers))
            self.contents["idempotent"].append(
                {"path": path, "key": key, "body": data, "status": status, "answer": answer.text})

        base = "/pictoryapis/v1/vimeo-connections"
        remember(base, self.body("With a key"), 201)
        remember(f"{base}/authorizations", self.authorization("Asked with a key"), 201)
        upload = {"source": {"url": "http://127.0.0.1:9/film.mp4"}, "name": "With a key"}
        remember(f"{base}/{self.connections['Films']}/uploads", upload, 202)
        link = {"source": {"size": 1_000}, "name": "A link with a key"}
        remember(f"{base}/{self.connections['Films']}/uploads", link, 201)

    # Authorizations, whose person decides on the sandbox's page.

    def authorization(self, name, **fields):
        app = {"clientIdentifier": self.vimeo["client_id"], "clientSecret": self.vimeo["client_secret"]}
        return app | {"name": name, "returnUrl": "https://app.example.com/connected"} | fields

    def make_authorizations(self):
        app = self.control("GET", "apps", None)["apps"][0]["uri"].strip("/")
        self.control("PATCH", app, {"redirect_uris": [f"{self.service.url}/connect/callback"]})
        path, made = "/vimeo-connections/authorizations", {}
        for name in ("completed", "declined", "withdrawn", "pending"):
            made[name] = self.send("POST", path, self.authorization(f"Authorization {name}"), 201)
        device = self.authorization("Authorization by device", flow="device")
        del device["returnUrl"]
        made["device"] = self.send("POST", path, device, 201)
        self.decide(made["completed"]["connectUrl"], "allow")
        self.decide(made["declined"]["connectUrl"], "deny")
        self.send("DELETE", f"{path}/{made['withdrawn']['authorizationId']}", status=204)
        self.contents["authorizations"] = {name: found["authorizationId"] for name, found in made.items()}
        for name, status in (("completed", "completed"), ("declined", "denied"), ("withdrawn", "failed")):
            found = self.send("GET", f"{path}/{made[name]['authorizationId']}")
            if found["status"] != status:
                raise SystemExit(f"fixture: an authorization is not {status}: {found}")

    def decide(self, connect_url, decision):
        browser = Service(self.service.url)
        link = connect_url.removeprefix(self.service.url)
        page = expect(200, browser.form(link, f"{link}/start")).text
        url = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page)[1].replace("&#38;", "&")
        page = expect(200, self.sandbox.send("GET", url)).text
        form = [("ticket", re.search(r'name="ticket" value="([^"]*)"', page)[1]),
                ("user", re.search(r'<option value="([^"]*)"', page)[1]), ("decision", decision)]
        form += [("scope", scope) for scope in re.findall(r'name="scope" value="([^"]*)"', page)]
        data, kind = urllib.parse.urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.sandbox.send("POST", "/oauth/authorize", data, kind)
        browser.send("GET", answer.headers["Location"])

    # The dashboard.

    def link(self, role):
        arguments = ["accounts", "sign-in-link", FIRST, "--person", "Anna", "--role", role, "--json"]
        return json.loads(self.installation.run(*arguments))["path"]

    def make_sessions(self):
        by_key, by_link = Service(self.service.url), Service(self.service.url)
        path, used = "/dashboard/sign-in", self.link("owner")
        expect(303, by_key.form(path, path, key=self.client().key))
        expect(303, by_link.form(used, used))
        expect(200, by_link.send("GET", "/dashboard/connections"))
        self.contents["sessions"] = {"by_key": by_key.cookies, "by_link": by_link.cookies}
        self.contents["sign_in_links"] = {"unused": self.link("read-only"), "used": used}

    # What the service shows.

    def answers(self):
        """Everything that both accounts can read."""
        found = []
        for account in (FIRST, SECOND):
            paths = ["/vimeo-connections?limit=1000", "/vimeo-connections/authorizations?limit=100", "/jobs?limit=1000",
                     "/webhook-endpoints?limit=1000", "/webhook-deliveries?limit=1000", "/api-keys?limit=1000",
                     "/audit-events?limit=1000", "/whoami"]
            for connection in self.send("GET", paths[0], account=account)["Items"]:
                paths += [f"/vimeo-connections/{connection['connectionId']}{end}" for end in ("", "/health")]
            for endpoint in self.send("GET", paths[3], account=account)["items"]:
                paths.append(f"/webhook-endpoints/{endpoint['endpointId']}/deliveries?limit=1000")
            for path in paths:
                body = self.send("GET", path, account=account)
                found.append({"account": account, "path": f"/pictoryapis/v1{path}", "body": body})
        return found
