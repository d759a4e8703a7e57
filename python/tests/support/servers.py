"""Servers in processes of their own."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

APPS = Path(__file__).parent.parent / "apps"
PATIENCE = 30


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _is_listening(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_so, what):
    """Wait for another process, which has no other way to tell."""
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, f"{what} within {PATIENCE} seconds"
        time.sleep(0.02)


@contextlib.contextmanager
def running(command, port, env=None, stop=None):
    process = subprocess.Popen(
        command,
        cwd=APPS,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: process.poll() is not None or _is_listening(port), f"{command} listens")
        assert process.poll() is None, process.stdout.read()
        yield process
    finally:
        if stop is None:
            process.terminate()
        else:
            stop()
        process.wait(PATIENCE)


@contextlib.contextmanager
def serving(module, *words, env=None):
    """An HTTP client of `python -m module words --bind`."""
    port = free_port()
    address = [f"--bind=127.0.0.1:{port}"] if module == "gunicorn" else ["--host=127.0.0.1", f"--port={port}"]
    command = [sys.executable, "-m", module, *words, *address]
    with running(command, port, env), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        yield client


@contextlib.contextmanager
def redis_server(directory):
    """The URL of a Redis."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(directory)]
    with running(command, port):
        yield f"redis://127.0.0.1:{port}"
