"""`make bench`: the engine beside the bare loop, in one run, on this machine.

Each program runs as a process of its own; the load (benchmarks/load.py) and the stub model
(benchmarks/stub_model.py) are two more. CPU is the program's own user and system time. `--write`
puts the table into docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
SECRET = "benchmark-secret"
TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child that prints a line when it is ready."""

    def __init__(self, *command: str, ready: str = "ready", env: dict | None = None) -> None:
        self.started = time.perf_counter()
        self.child = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        for line in self.child.stdout:
            if ready in line:
                self.ready_line = line
                self.ready_seconds = time.perf_counter() - self.started
                return
        raise SystemExit(f"{command[0]} ended before it was ready")

    def cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self.child.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.child.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(60)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_) -> None:
        self.stop()


def stub(shape: tuple[str, ...]) -> Process:
    return Process(str(HERE / "stub_model.py"), "--port", "0", *shape)


def bare(model_port: int) -> Process:
    model = f"http://127.0.0.1:{model_port}/v1"
    return Process(str(HERE / "bare.py"), "--secret", SECRET, "--model", model)


def rules() -> list[dict]:
    """Twenty rules as an administrator may have them; none of them takes the load's messages."""
    return [
        {"name": f"rule {n}", "pattern": f"(?i)^(/task{n}|任务{n}|report {n}\\b)", "priority": n}
        | {"action": "reply", "text": f"Task {n}."}
        for n in range(20)
    ]


def engine(model_port: int, sink: str, folder: Path, routing_rules: list[dict] = ()) -> Process:
    config = {
        "routing_rules": list(routing_rules),
        "channels": {
            "dingtalk": {
                "auth": {"app_id": "bench", "app_secret": SECRET},
                "endpoints": {"api": sink, "oapi": sink},
            }
        },
        "models": {
            "main": {
                "base_url": f"http://127.0.0.1:{model_port}/v1",
                "model": "stub",
                "concurrency": 512,
            }
        },
        "assistant": {"model": "main"},
        "log": {"level": "warning"},
    }
    path = folder / "ai-engine.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    path.chmod(0o600)
    arguments = ["--config", str(path), "--data", str(folder / "data"), "--port", "0", "--json"]
    return Process("-m", "ai_engine", "serve", *arguments)


def load(port: int, sink_port: int, **options) -> dict:
    command = [sys.executable, str(HERE / "load.py"), "--port", str(port), "--secret", SECRET]
    command += ["--sink-port", str(sink_port)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def metrics(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line and not line.startswith("#")
    }


def named(found: dict[str, float], part: str) -> float:
    return sum(value for name, value in found.items() if part in name)


def measure(process: Process, port: int, sink_port: int, **options) -> dict:
    before = process.cpu_seconds()
    result = load(port, sink_port, **options)
    cpu = process.cpu_seconds() - before
    return {**result, "cpu_ms_per_turn": round(1000 * cpu / result["turns"], 3)}


AT_ONCE = ("--delay-ms", "0", "--chunks", "8")
STREAMED = ("--delay-ms", "5", "--chunks", "16", "--spread-ms", "50")


def side_by_side(rounds: int, seconds: float, shape: tuple[str, ...] = AT_ONCE) -> dict:
    """Bare and engine in turn, with a model of this shape: CPU per turn and turns/s."""
    ratios, bares, engines = [], [], []
    with stub(shape) as model, tempfile.TemporaryDirectory() as folder:
        model_port = int(re.search(r"(\d+)\s*$", model.ready_line)[1])
        sink_port = free_port()
        sink = f"http://127.0.0.1:{sink_port}"
        with bare(model_port) as b, engine(model_port, sink, Path(folder)) as e:
            ports = {
                "bare": int(re.search(r":(\d+)\s*$", b.ready_line)[1]),
                "engine": int(json.loads(e.ready_line)["url"].rpartition(":")[2]),
            }
            for n in range(-1, rounds):  # the first is a warm-up
                common = {"seconds": seconds, "in_flight": 64, "run": n}
                one = measure(b, ports["bare"], sink_port, **common)
                two = measure(e, ports["engine"], sink_port, **common)
                if n >= 0:
                    bares.append(one)
                    engines.append(two)
                    ratios.append(two["cpu_ms_per_turn"] / one["cpu_ms_per_turn"])
    return {"ratio": ratios, "bare": bares, "engine": engines}


def lived_in(seconds: float) -> dict:
    """With 20 rules, and conversations of 20 exchanges that grow to about 40."""
    with stub(AT_ONCE) as model, tempfile.TemporaryDirectory() as folder:
        model_port = int(re.search(r"(\d+)\s*$", model.ready_line)[1])
        sink_port = free_port()
        with engine(model_port, f"http://127.0.0.1:{sink_port}", Path(folder), rules()) as e:
            port = int(json.loads(e.ready_line)["url"].rpartition(":")[2])
            users = int(seconds * 40)
            before = load(port, sink_port, turns=20 * users, users=users, in_flight=64)
            same = {"users": users, "first": before["turns"], "turns": 20 * users}
            return measure(e, port, sink_port, in_flight=64, **same)


def under_load(seconds: float) -> dict:
    """With a model of 50 ms: the most turns a second, and latencies at 200 a second."""
    found = {}
    with (
        stub(("--delay-ms", "50", "--chunks", "8")) as model,
        tempfile.TemporaryDirectory() as folder,
    ):
        model_port = int(re.search(r"(\d+)\s*$", model.ready_line)[1])
        sink_port = free_port()
        with engine(model_port, f"http://127.0.0.1:{sink_port}", Path(folder)) as e:
            url = json.loads(e.ready_line)["url"]
            port = int(url.rpartition(":")[2])
            found["ready_seconds"] = round(e.ready_seconds, 2)
            found["idle_rss_mb"] = round(e.rss_mb(), 1)
            load(port, sink_port, seconds=3, rate=50, run="warm")
            for name, options in {
                "low": {"rate": 5, "seconds": seconds},
                "at_200": {"rate": 200, "seconds": 2 * seconds},
                "most": {"in_flight": 96, "seconds": seconds},
            }.items():
                before = metrics(url)
                result = measure(e, port, sink_port, run=name, **options)
                after = metrics(url)
                turns = result["turns"]
                result["fsyncs_per_message"] = round(
                    (named(after, "journal_syncs") - named(before, "journal_syncs")) / turns, 3
                )
                result["round_trips_per_message"] = round(
                    (named(after, "journal_round_trips") - named(before, "journal_round_trips"))
                    / turns,
                    2,
                )
                result["own_p99_ms"] = round(
                    1000 * after.get('ai_engine_latency_seconds{quantile="0.99"}', 0), 1
                )
                found[name] = result
            many = {"run": "many", "in_flight": 96, "users": 10_000, "turns": 20_000}
            found["many"] = measure(e, port, sink_port, **many)
            found["rss_mb_with_10000_sessions"] = round(e.rss_mb(), 1)
    return found


def journal() -> str:
    """The journal alone, from one message in flight to many."""
    command = [sys.executable, str(HERE / "journal.py")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return "\n".join(line.strip() for line in done.stdout.strip().splitlines())


def connectors() -> str:
    """Each connector alone."""
    command = [sys.executable, str(HERE / "connectors.py")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def middle(runs: list[dict], what: str) -> float:
    return statistics.median(run[what] for run in runs)


def shape_rows(name: str, pair: dict, bare_goal: str = "") -> list[tuple[str, str, str]]:
    ratios, bares, engines = pair["ratio"], pair["bare"], pair["engine"]
    ratio = f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
    cpu = [f"{middle(runs, 'cpu_ms_per_turn'):.2f} ms" for runs in (bares, engines)]
    rate = [f"{middle(runs, 'turns_per_second'):.0f}" for runs in (bares, engines)]
    return [
        (f"CPU of a turn, engine / bare, model {name}", ratio, "≤ 2.0"),
        ("… bare, engine", ", ".join(cpu), ""),
        ("… turns/s: bare, engine", ", ".join(rate), bare_goal),
    ]


def table(once: dict, streamed: dict, lived: dict, loaded: dict) -> str:
    low, at, most = (loaded[name] for name in ("low", "at_200", "most"))
    syncs = [run["fsyncs_per_message"] for run in (low, at, most)]
    more = loaded["rss_mb_with_10000_sessions"] - loaded["idle_rss_mb"]
    rows = [
        *shape_rows("at once", once, "bare ≥ 600"),
        *shape_rows("in 16 pieces over 55 ms", streamed),
        (
            "CPU of a turn with 20 rules and 20 to 40 exchanges of history",
            f"{lived['cpu_ms_per_turn']:.2f} ms",
            "",
        ),
        ("turns/s, model of 50 ms", f"{most['turns_per_second']:.0f}", "≥ 300"),
        ("acknowledgement at 200/s, p99", f"{at['ack_ms']['p99']:.1f} ms", "≤ 25 ms"),
        ("the engine's own latency at 200/s, p99", f"{at['own_p99_ms']:.1f} ms", "≤ 50 ms"),
        ("fsyncs a message at 5/s", f"{syncs[0]:.2f}", "≤ 2"),
        ("fsyncs a message at 200/s", f"{syncs[1]:.2f}", ""),
        ("fsyncs a message at full load", f"{syncs[2]:.2f}", "≤ 0.2"),
        ("journal round trips a message", f"{most['round_trips_per_message']}", "≤ 5"),
        ("`serve` is ready after", f"{loaded['ready_seconds']:.2f} s", "≤ 1.5 s"),
        ("memory when idle (RSS)", f"{loaded['idle_rss_mb']:.0f} MB", "≤ 120 MB"),
        ("memory more after 20,000 turns of 10,000 sessions", f"{more:.0f} MB", "≤ 50 MB"),
    ]
    lines = ["| figure | measured | goal |", "| --- | --- | --- |"]
    lines += [f"| {name} | {value} | {goal} |" for name, value, goal in rows]
    return "\n".join(lines)


def machine() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    name = found[1].strip() if found else platform.machine()
    cores = os.cpu_count()
    today = datetime.now(UTC).date()
    return f"{today}, Python {platform.python_version()}, {cores} cores of an {name}"


def write(figures: str) -> None:
    """Into docs/benchmarks.md, in place of the former ones."""
    page = ROOT / "docs" / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    block = f"<!-- figures -->\n\n{figures}\n\n<!-- /figures -->"
    pattern = r"<!-- figures -->.*<!-- /figures -->"
    page.write_text(re.sub(pattern, lambda _: block, text, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    options = parser.parse_args()
    busy = os.getloadavg()[0]
    once = side_by_side(options.rounds, options.seconds, AT_ONCE)
    streamed = side_by_side(options.rounds, options.seconds, STREAMED)
    lived = lived_in(options.seconds)
    loaded = under_load(options.seconds)
    parts = {"once": once, "streamed": streamed, "lived_in": lived, "loaded": loaded}
    print(json.dumps(parts, indent=1), file=sys.stderr)
    measured = (
        f"Measured on {machine()}; medians of {options.rounds} rounds. The machine's load average"
        f" was {busy:.1f} before the run (0 is a quiet machine)."
    )
    found = table(once, streamed, lived, loaded)
    alone = f"The journal alone:\n\n```text\n{journal()}\n```"
    each = f"Each connector alone, CPU of a message:\n\n{connectors()}"
    figures = f"{measured}\n\n{found}\n\n{alone}\n\n{each}"
    print(figures)
    if options.write:
        write(figures)


if __name__ == "__main__":
    main()
