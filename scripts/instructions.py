"""Counts the machine instructions of one create, of linking its audit event, and of one get. Run by scripts/instructions; its usage is there."""

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "instructions.md"
COLLECTION = "/pictoryapis/v1/vimeo-connections"
# Requests before the count, which fill caches, lazy tables and the first pages of the database.
WARM_UP = 200
# The increase over the recorded count that is a failure.
ALLOWED = 0.05
SHOWN = 16
# Fixed, so that the count does not depend on the number of cores.
WORKERS = "2"
OPERATIONS = {
    "create": "`POST` of a new connection, response 201; verification off",
    "link": "linking the audit event of one create, seconds later and off the request path",
    "get": "`GET` of a connection by its ID, response 200",
}
# After this, all audit events are linked, and no visit of their account is due any more.
LINKED_AFTER = 15
# Audit events are not linked before.
SETTLED_AFTER = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/instructions", add_help=False)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    runs, others = [], []
    for number in range(given.runs):
        runs.append(run(given.binary, given))
        print(f"run {number + 1}: {counts_of(runs[-1])}", flush=True)
        if given.compare:
            others.append(run(given.compare, given))
            print(f"       {counts_of(others[-1])} in {given.compare}", flush=True)
    middle = {name: median_of(name, runs) for name in OPERATIONS}
    if given.compare:
        for name in OPERATIONS:
            count, other = middle[name]["count"], median_of(name, others)["count"]
            print(f"{name}: {count:,}, of {given.compare} {other:,} ({count - other:+,}, {count / other - 1:+.1%})")
        return 0
    if given.write:
        PAGE.write_text(page(middle, given.requests))
        print(f"written: {PAGE.relative_to(ROOT)}")
    else:
        for name, found in middle.items():
            print(f"\n{name}: {found['count']:,} instructions\n")
            print("\n".join(table(found)))
    return check(middle) if given.check else 0


def counts_of(run: dict) -> str:
    return ", ".join(f"{name} {run[name]['count']:,}" for name in OPERATIONS) + " instructions"


def median_of(name: str, runs: list) -> dict:
    """The run with the median count, complete: its functions belong to its count."""
    found = sorted((run[name] for run in runs), key=lambda found: found["count"])
    return found[len(found) // 2]


def check(middle: dict) -> int:
    kept = dict(re.findall(r"^\| (\w+) \| ([\d,]+) \|", PAGE.read_text(), re.MULTILINE))
    failed = 0
    print()
    for name, found in middle.items():
        before = int(kept[name].replace(",", ""))
        change = found["count"] / before - 1
        verdict = "ok"
        if change > ALLOWED:
            failed, verdict = 1, f"COSTS MORE: over {ALLOWED:.0%} above the recorded count"
        elif change < -ALLOWED:
            verdict = "costs less: record it with --write"
        print(f"{name}: {found['count']:,}, recorded {before:,} ({change:+.1%}): {verdict}")
    return failed


# --- A run ----------------------------------------------------------------------------------------------------------


class Service:
    """The service under callgrind, in its own directory."""

    def __init__(self, binary: Path, work: Path):
        self.work = work
        self.environment = {"PATH": os.environ["PATH"], "TOKIO_WORKER_THREADS": WORKERS}
        self.binary = binary
        (work / "vimeo-connections.toml").write_text(
            'listen = "127.0.0.1:0"\nvimeo.verification = "off"\n'
        )
        self.call("init")
        self.call("accounts", "create", "counted")
        made = self.call("keys", "create", "--account", "counted", "--name", "counted", "--json")
        self.key = json.loads(made)["key"]
        self.log = work / "service.log"
        tool = [
            "valgrind", "--tool=callgrind", "--quiet", "--dump-line=no", "--compress-strings=no",
            "--separate-threads=no", "--fair-sched=yes", "--callgrind-out-file=counts",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [*tool, "--", str(binary), "serve"],
            cwd=work, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.log.open("w"),
        )  # fmt: skip
        self.port = self.wait_for_port()

    def call(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.binary), *arguments],
            cwd=self.work, env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            sys.exit(f"instructions: {arguments[0]} failed: {done.stderr}")
        return done.stdout

    def wait_for_port(self) -> int:
        for _ in range(1200):
            found = re.search(r"listening.*address=\S*?:(\d+)", self.log.read_text())
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.process.kill()
        sys.exit(f"instructions: the service did not start; its output:\n{self.log.read_text()}")

    def control(self, what: str) -> None:
        command = ["callgrind_control", what, str(self.process.pid)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.work, timeout=120)
        if done.returncode != 0 or "OK" not in done.stdout:
            self.process.kill()
            sys.exit(f"instructions: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Client:
    """One persistent connection, one request at a time."""

    def __init__(self, service: Service):
        self.http = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
        self.headers = {"Authorization": service.key, "Content-Type": "application/json"}

    def send(self, method: str, path: str, expected: int, body: str | None = None) -> dict:
        self.http.request(method, path, body, self.headers)
        response = self.http.getresponse()
        text = response.read()
        if response.status != expected:
            sys.exit(f"instructions: {method} {path}: {response.status} {text.decode()}")
        return json.loads(text)

    def create(self, number: int) -> str:
        body = {
            "name": f"Connection number {number:08}",
            "description": "One of many that are made to count what making one costs. " * 4,
            "enabled": True,
            "clientIdentifier": "0123456789abcdef0123456789abcdef01234567",
            "clientSecret": f"{number:048x}",
            "accessToken": f"{number:032x}",
        }
        return self.send("POST", COLLECTION, 201, json.dumps(body))["connectionId"]

    def get(self, identifier: str) -> None:
        self.send("GET", f"{COLLECTION}/{identifier}", 200)


def run(binary: Path, given: argparse.Namespace) -> dict:
    shutil.rmtree(given.work, ignore_errors=True)
    given.work.mkdir(parents=True)
    service = Service(binary.resolve(), given.work)
    try:
        client = Client(service)
        made = [client.create(number) for number in range(WARM_UP)]
        time.sleep(LINKED_AFTER)
        # The service has closed the idle connection.
        client = Client(service)
        started = time.monotonic()
        creates = counted(service, given.requests, lambda n: made.append(client.create(WARM_UP + n)))
        if time.monotonic() - started > SETTLED_AFTER:
            print("this machine is slow: the count of a create contains the linking of some events", flush=True)
        links = counted(service, given.requests, lambda n: time.sleep(LINKED_AFTER / given.requests))
        client = Client(service)
        for number in range(WARM_UP):
            client.get(made[number])
        # Spread over all connections.
        gets = counted(service, given.requests, lambda n: client.get(made[n * 7 % len(made)]))
    finally:
        service.stop()
    return {"create": creates, "link": links, "get": gets}


def counted(service: Service, requests: int, send) -> dict:
    """The cost of one of `requests`, as their mean; background work is counted too."""
    before = set(service.work.glob("counts.*"))
    service.control("--zero")
    for number in range(requests):
        send(number)
    service.control("--dump")
    for _ in range(600):
        dumps = [path for path in set(service.work.glob("counts.*")) - before if "totals:" in path.read_text()]
        if dumps:
            break
        time.sleep(0.1)
    else:
        sys.exit("instructions: callgrind wrote no counts")
    exclusive, inclusive = functions(dumps[0])
    each = lambda costs: {name: cost / requests for name, cost in costs.items()}
    count = round(sum(exclusive.values()) / requests)
    return {"count": count, "exclusive": each(exclusive), "inclusive": each(inclusive)}


def functions(dump: Path) -> tuple[dict, dict]:
    """The cost of each function alone, and with the functions that it calls.

    callgrind_annotate would count calls that were in progress when the counters were zeroed as the function's own cost.
    """
    exclusive: dict = defaultdict(int)
    inclusive: dict = defaultdict(int)
    within = called = ""
    is_call = False
    for line in dump.read_text(errors="replace").splitlines():
        if line.startswith("fn="):
            within = plain(line[3:])
        elif line.startswith("cfn="):
            called = plain(line[4:])
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[\d+*-]\S* \d+$", line):
            cost = int(line.split()[1])
            if not is_call:
                exclusive[within] += cost
                inclusive[within] += cost
            elif called != within:
                inclusive[within] += cost
            is_call = False
    return exclusive, inclusive


def plain(name: str) -> str:
    """A function's name without the parts that differ between builds, truncated."""
    name = re.sub(r"::h[0-9a-f]{16}", "", name)
    name = re.sub(r"aws_lc_\d+_\d+_\d+_", "", name)
    name = re.sub(r"'\d+$", "", name)
    return name if len(name) <= 110 else f"{name[:107]}..."


# --- The page -------------------------------------------------------------------------------------------------------


def table(found: dict) -> list:
    lines = ["| instructions | share | in the function itself |", "|---:|---:|---|"]
    for name, cost in sorted(found["exclusive"].items(), key=lambda item: -item[1])[:SHOWN]:
        lines.append(f"| {cost:,.0f} | {cost / found['count']:.1%} | `{name}` |")
    lines += ["", "| instructions | share | in the function and its callees |", "|---:|---:|---|"]
    ours = {name: cost for name, cost in found["inclusive"].items() if is_telling(name)}
    for name, cost in sorted(ours.items(), key=lambda item: -item[1])[:SHOWN]:
        lines.append(f"| {cost:,.0f} | {cost / found['count']:.1%} | `{name}` |")
    return lines


# Frames that contain everything else (thread start, the runtime's loop, the router's layers) are left out.
DULL = re.compile(
    r"\(below|0x|main$|_start|start_thread|clone|\?\?\?"
    r"|<?(std|core|alloc|tokio|axum|hyper|hyper_util|tower|futures\w*|tracing)\b(?!_core)|<[FS] as"
)


def is_telling(name: str) -> bool:
    return not DULL.match(name)


def page(middle: dict, requests: int) -> str:
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True, cwd=ROOT)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    lines = [
        "# Instructions",
        "",
        "Generated by `scripts/instructions --write`. `scripts/instructions --check` counts again and fails if an operation",
        f"costs over {ALLOWED:.0%} more than is recorded here. Unlike times, counts hardly vary with the machine and its load.",
        "",
        "| operation | instructions | what it is |",
        "|---|---:|---|",
    ]
    lines += [f"| {name} | {middle[name]['count']:,} | {what} |" for name, what in OPERATIONS.items()]
    lines += [
        "",
        f"Counted by callgrind ({valgrind.stdout.strip()}) in the release build ({rustc.stdout.strip()}) on SQLite, over",
        f"{requests:,} requests after {WARM_UP} that are not counted, one at a time on a persistent connection, with the log",
        f"at its default level in a file and {WORKERS} threads for requests. All threads of the service are counted, the kernel",
        "is not. Each create is alone in its batch here, so it pays for a whole transaction, which many share under load.",
        "Libraries choose their code by the processor, and callgrind emulates one without AVX-512 and SHA instructions: there",
        "SHA-256 costs several times what it costs on most machines.",
    ]
    for name in OPERATIONS:
        lines += ["", f"## {name}", "", *table(middle[name])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
