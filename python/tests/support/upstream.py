"""The stand-in of the Security API, which is that of the npm package, in a process of its own."""

import json
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("upstream.mjs")


class Upstream:
    """A real server on loopback, whose answers and faults tests choose."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["node", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._read()

    def _read(self):
        return json.loads(self._process.stdout.readline())

    def _call(self, *words):
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return self._read()

    def reset(self):
        self._call("reset")

    def answer(self, ip, **security):
        self._call("answer", ip, security)

    def answer_raw(self, ip, status, body):
        self._call("answerRaw", ip, {"status": status, "body": body})

    def fault(self, **fault):
        self._call("fault", fault)

    def latency(self, seconds):
        self._call("latency", seconds * 1_000)

    def requests(self):
        """The addresses that each request asked about."""
        return self._call("requests")

    def asked(self, ip):
        """How many requests asked about that address."""
        return sum(ip in ips for ips in self.requests())

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
