"""The life of a video, as Vimeo's own client for Python leads it, with the sandbox in Vimeo's place.

Run it with BASE_URL, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, FILE, REPLACEMENT, TEXT_TRACK and IMAGE in the environment.
"""

import hashlib
import html.parser
import os
import tempfile
import time
import urllib.parse

import requests
import vimeo

BASE_URL = os.environ["BASE_URL"]
CLIENT_ID = os.environ["CLIENT_ID"]
CLIENT_SECRET = os.environ["CLIENT_SECRET"]
REDIRECT_URI = os.environ["REDIRECT_URI"]
FILE = os.environ["FILE"]
REPLACEMENT = os.environ["REPLACEMENT"]
TEXT_TRACK = os.environ["TEXT_TRACK"]
IMAGE = os.environ["IMAGE"]

SCOPES = ["public", "private", "create", "edit", "delete", "interact", "upload"]
MIB = 1024 * 1024


class SandboxClient(vimeo.VimeoClient):
    """This is all it takes to point PyVimeo at the sandbox."""

    API_ROOT = BASE_URL


# PyVimeo waits half a minute before it retries an upload; the test skips the wait.
really_sleep = time.sleep
time.sleep = lambda seconds: really_sleep(min(seconds, 0.1))


class Form(html.parser.HTMLParser):
    """The first form of a page, as a browser sends it whose user changes nothing and presses a button."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields, self.select = None, [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "form":
            self.action = found["action"]
        elif tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
            self.fields.append((found["name"], found["value"]))
        elif tag == "select":
            self.select = found["name"]
        elif tag == "option" and self.select:
            self.fields.append((self.select, found["value"]))
            self.select = None


def consent(url, decision):
    """Does what a person does on the page where the app asks for access. Gives what the app is sent back with."""
    browser = requests.Session()
    page = browser.get(url)
    assert page.status_code == 200, page.text
    form = Form(page.text)
    sent = browser.post(
        urllib.parse.urljoin(url, form.action),
        data=form.fields + [("decision", decision)],
        allow_redirects=False,
    )
    assert sent.status_code in (302, 303), sent.text
    location = sent.headers["Location"]
    assert location.startswith(REDIRECT_URI + "?"), location
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded(uri):
    """What the sandbox has of a video."""
    shown = requests.get(BASE_URL + "/_sandbox/videos" + uri.removeprefix("/videos"))
    assert shown.status_code == 200, shown.text
    return shown.json()


def arrived(uri):
    """Every version of a video with its size and hash."""
    return [(version["received"], version["sha256"]) for version in recorded(uri)["versions"]]


def is_file(file, path):
    return (file["size"], file["sha256"]) == (os.path.getsize(path), sha256(path))


def publish(client, uri):
    """Adds a text track, a thumbnail, tags, chapters, a preset, and the video to a showcase."""
    track = client.upload_texttrack(uri, "subtitles", "en", TEXT_TRACK, fields="uri,active")
    assert track["active"] is False, track
    assert client.patch(track["uri"], data={"active": True}).status_code == 200
    shown = client.get(track["uri"]).json()
    assert (shown["active"], shown["name"]) == (True, os.path.basename(TEXT_TRACK)), shown
    assert requests.get(shown["link"]).content == open(TEXT_TRACK, "rb").read()
    assert is_file(recorded(uri)["text_tracks"][0]["file"], TEXT_TRACK), recorded(uri)
    refused = client.post(uri + "/texttracks", data={"type": "subtitles", "language": "klingon", "name": "x"})
    assert [found["field"] for found in refused.json()["invalid_parameters"]] == ["language"], refused.text
    try:
        client.upload_texttrack(uri, "subtitles", "en", IMAGE)
        raise AssertionError("an image is not a text track")
    except vimeo.exceptions.TexttrackUploadFailure:
        pass
    print("text track")

    picture = client.upload_picture(uri, IMAGE, activate=True)
    assert client.get(picture["uri"]).json()["active"] is True
    assert client.get(uri, params={"fields": "pictures.uri"}).json() == {"pictures": {"uri": picture["uri"]}}
    assert is_file(recorded(uri)["pictures"][0]["file"], IMAGE), recorded(uri)
    print("thumbnail")

    assert client.put(uri + "/tags", data=["sea", "summer"]).status_code == 200
    assert client.put(uri + "/tags/sun").status_code == 204
    assert client.delete(uri + "/tags/summer").status_code == 204
    assert [tag["name"] for tag in client.get(uri + "/tags").json()["data"]] == ["sea", "sun"]
    print("tags")

    for title, timecode in (("Start", 0), ("End", 60)):
        made = client.post(uri + "/chapters", data={"title": title, "timecode": timecode})
        assert made.status_code == 201, made.text
    again = client.post(uri + "/chapters", data={"title": "Twice", "timecode": 60})
    assert again.status_code == 400, again.text
    preset = client.get("/me/presets").json()["data"][0]["uri"].rsplit("/", 1)[1]
    assert client.put(f"{uri}/presets/{preset}").status_code == 204
    assert client.put(f"{uri}/presets/1").status_code == 404
    print("chapters and preset")

    showcase = client.post("/me/albums", data={"name": "From Python"})
    assert showcase.status_code == 201, showcase.text
    showcase = showcase.json()["uri"]
    assert client.get("/me/albums", params={"query": "from py"}).json()["data"][0]["uri"] == showcase
    assert client.put(showcase + uri).status_code == 204
    assert client.get(showcase + "/videos").json()["data"][0]["uri"] == uri
    assert client.delete(showcase).status_code == 204
    print("showcase")


def wait_until_playable(client, uri):
    while True:
        shown = client.get(uri, params={"fields": "upload.status,transcode.status"}).json()
        if shown["transcode"]["status"] == "complete":
            assert shown["upload"]["status"] == "complete", shown
            return
        assert shown["transcode"]["status"] == "in_progress", shown
        really_sleep(0.2)


def main():
    # A token for the app alone. The scope must be a list: PyVimeo splits a string into letters.
    app = SandboxClient(key=CLIENT_ID, secret=CLIENT_SECRET)
    app_token = app.load_client_credentials(["public"])
    assert app_token and app.token == app_token
    refused = app.get("/me")
    assert (refused.status_code, refused.json()["error_code"]) == (401, 8002), refused.text
    assert app.delete("/tokens").status_code == 204
    assert app.get("/oauth/verify").status_code == 401
    print("client credentials")

    # A token for a user who allows it.
    client = SandboxClient(key=CLIENT_ID, secret=CLIENT_SECRET)
    url = client.auth_url(SCOPES, REDIRECT_URI, "a state & more")
    denied = consent(url, "deny")
    assert denied == {"error": "access_denied", "state": "a state & more"} | denied and "code" not in denied, denied
    allowed = consent(url, "allow")
    assert allowed["state"] == "a state & more"
    token, user, scope = client.exchange_code(allowed["code"], REDIRECT_URI)
    assert client.token == token and user["uri"].startswith("/users/"), user
    assert set(scope.split()) == set(SCOPES), scope
    try:
        SandboxClient(key=CLIENT_ID, secret=CLIENT_SECRET).exchange_code(allowed["code"], REDIRECT_URI)
        raise AssertionError("a code is good for one exchange")
    except vimeo.auth.GrantFailed:
        pass
    print("code exchange")

    verified = client.get("/oauth/verify")
    assert verified.status_code == 200
    assert verified.json()["user"]["uri"] == user["uri"] and verified.json()["scope"] == scope
    print("verify")

    me = client.get("/me", params={"fields": "uri,name,account,upload_quota.space"})
    assert me.status_code == 200 and me.json()["uri"] == user["uri"]
    assert me.json()["upload_quota"]["space"]["free"] > 50 * MIB
    assert set(me.json()) == {"uri", "name", "account", "upload_quota"}, me.text
    print("me")

    # The connection breaks during the upload. The received bytes are not sent again.
    fault = {"route": "PATCH /files/*", "kind": "cut-during", "bytes": 20 * MIB}
    assert requests.post(BASE_URL + "/_sandbox/faults", json=fault).status_code == 201
    uri = client.upload(FILE, data={"name": "From Python", "description": "Fifty mebibytes."})
    assert arrived(uri) == [(os.path.getsize(FILE), sha256(FILE))], arrived(uri)
    wait_until_playable(client, uri)
    print("upload")

    changes = {"name": "Renamed", "description": "Changed.", "privacy": {"view": "unlisted", "comments": "nobody"}}
    changed = client.patch(uri, data=changes)
    assert changed.status_code == 200, changed.text
    shown = client.get(uri).json()
    assert (shown["name"], shown["description"]) == ("Renamed", "Changed.")
    assert (shown["privacy"]["view"], shown["privacy"]["comments"]) == ("unlisted", "nobody")
    # The link of an unlisted video ends with its hash.
    assert shown["link"].count("/") == 4 and "?h=" in shown["player_embed_url"], shown["link"]
    wrong = client.patch(uri, data={"privacy": {"comments": False}})
    assert (wrong.status_code, wrong.json()["error_code"]) == (400, 2204), wrong.text
    assert [found["field"] for found in wrong.json()["invalid_parameters"]] == ["privacy.comments"]
    print("patch")

    folder = client.post("/me/projects", data={"name": "From Python"})
    assert folder.status_code == 201, folder.text
    folder = folder.json()["uri"]
    number = uri.rsplit("/", 1)[1]
    assert client.put(f"{folder}/videos/{number}").status_code == 204
    placed = client.get(f"{folder}/videos", params={"fields": "uri,name"}).json()
    assert placed["total"] == 1 and placed["data"] == [{"uri": uri, "name": "Renamed"}], placed
    parent = client.get(uri, params={"fields": "parent_folder.uri"}).json()
    assert parent == {"parent_folder": {"uri": folder}}, parent
    print("folder")

    assert client.replace(video_uri=uri, filename=REPLACEMENT) == uri
    versions = client.get(uri + "/versions").json()
    assert versions["total"] == 2, versions
    # The newest is listed first. The old one stays active until the new one is playable.
    new, old = [version["uri"] for version in versions["data"]]
    assert versions["data"][0]["filename"] == os.path.basename(REPLACEMENT), versions
    wait_until_playable(client, new)
    assert client.get(new).json()["active"] and not client.get(old).json()["active"]
    both = [(os.path.getsize(path), sha256(path)) for path in (FILE, REPLACEMENT)]
    assert arrived(uri) == both, arrived(uri)
    print("replace")

    publish(client, uri)

    small = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(7):
            path = os.path.join(directory, f"small-{number}.mp4")
            with open(path, "wb") as file:
                file.write(os.urandom(1000 + number))
            small.append(client.upload(path, data={"name": f"Small {number}"}))
            assert arrived(small[-1]) == [(1000 + number, sha256(path))]
    listed, sizes, next_page = [], [], "/me/videos?per_page=3&fields=uri,name&sort=date&direction=asc"
    while next_page:
        page = client.get(next_page).json()
        assert (page["total"], page["per_page"], page["page"]) == (8, 3, len(sizes) + 1), page
        sizes.append(len(page["data"]))
        listed += [video["uri"] for video in page["data"]]
        next_page = page["paging"]["next"]
    assert sizes == [3, 3, 2] and listed == [uri, *small], listed
    print("list")

    for gone in listed:
        assert client.delete(gone).status_code == 204
        missing = client.get(gone)
        assert (missing.status_code, missing.json()["error_code"]) == (404, 5000), missing.text
    assert client.get("/me/videos").json()["total"] == 0
    assert client.delete(folder).status_code == 204
    print("delete")


main()
