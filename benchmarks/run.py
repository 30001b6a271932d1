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
from datetime import date
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


def stub(delay_ms: int) -> Process:
    command = [str(HERE / "stub_model.py"), "--port", "0", "--delay-ms", str(delay_ms)]
    return Process(*command, "--chunks", "8")


def bare(model_port: int) -> Process:
    model = f"http://127.0.0.1:{model_port}/v1"
    return Process(str(HERE / "bare.py"), "--secret", SECRET, "--model", model)


def engine(model_port: int, sink: str, folder: Path) -> Process:
    config = {
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


def side_by_side(rounds: int, seconds: float) -> dict:
    """Bare and engine in turn, with a model that answers at once: CPU per turn and turns/s."""
    ratios, bares, engines = [], [], []
    with stub(0) as model, tempfile.TemporaryDirectory() as folder:
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


def under_load(seconds: float) -> dict:
    """With a model of 50 ms: the most turns a second, and latencies at 200 a second."""
    found = {}
    with stub(50) as model, tempfile.TemporaryDirectory() as folder:
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
            users = measure(e, port, sink_port, run="many", in_flight=96, seconds=40, users=10_000)
            found["rss_mb_after_10000_sessions"] = round(e.rss_mb(), 1)
            found["many"] = users
    return found


def table(pair: dict, loaded: dict) -> str:
    median = statistics.median
    ratio = f"{median(pair['ratio']):.2f} ({min(pair['ratio']):.2f}-{max(pair['ratio']):.2f})"
    cpu = {who: median(x["cpu_ms_per_turn"] for x in pair[who]) for who in ("bare", "engine")}
    rate = {who: median(x["turns_per_second"] for x in pair[who]) for who in ("bare", "engine")}
    low, at, most = loaded["low"], loaded["at_200"], loaded["most"]
    rows = [
        ("CPU per turn, engine / bare (median, range)", ratio, "≤ 2.0"),
        ("CPU per turn: bare, engine", f"{cpu['bare']:.2f} ms, {cpu['engine']:.2f} ms", ""),
        ("turns/s, model at once: bare, engine", f"{rate['bare']:.0f}, {rate['engine']:.0f}", "bare ≥ 600"),
        ("turns/s, model of 50 ms", f"{most['turns_per_second']:.0f}", "≥ 300"),
        ("acknowledgement p99 at 200/s", f"{at['ack_ms']['p99']:.1f} ms", "≤ 25 ms"),
        ("engine's own latency p99 at 200/s", f"{at['own_p99_ms']:.1f} ms", "≤ 50 ms"),
        ("fsyncs a message: 5/s, 200/s, most", f"{low['fsyncs_per_message']}, {at['fsyncs_per_message']}, {most['fsyncs_per_message']}", "≤ 2 low, ≤ 0.2 under load"),
        ("journal round trips a message", f"{most['round_trips_per_message']}", "≤ 5"),
        ("`serve` ready", f"{loaded['ready_seconds']:.2f} s", "≤ 1.5 s"),
        ("idle RSS", f"{loaded['idle_rss_mb']:.0f} MB", "≤ 120 MB"),
        ("RSS after 10,000 sessions", f"{loaded['rss_mb_after_10000_sessions']:.0f} MB", "≤ +50 MB"),
    ]  # fmt: skip
    lines = ["| figure | measured | goal |", "| --- | --- | --- |"]
    lines += [f"| {name} | {value} | {goal} |" for name, value, goal in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    options = parser.parse_args()
    pair = side_by_side(options.rounds, options.seconds)
    loaded = under_load(options.seconds)
    result = table(pair, loaded)
    print(json.dumps({"pair": pair, "loaded": loaded}, indent=1), file=sys.stderr)
    print(result)
    if options.write:
        page = ROOT / "docs" / "benchmarks.md"
        text = page.read_text(encoding="utf-8")
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {date.today()}"
        block = f"<!-- figures -->\n\nMeasured on {machine}.\n\n{result}\n\n<!-- /figures -->"
        pattern = r"<!-- figures -->.*<!-- /figures -->"
        page.write_text(re.sub(pattern, block, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
