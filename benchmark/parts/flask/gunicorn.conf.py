"""One worker with threads. It says who it is when it is ready, and all ends with the input."""

import json
import os
import signal
import threading

bind = f"127.0.0.1:{os.environ['PORT']}"
worker_class = "gthread"
workers = 1
threads = int(os.environ["THREADS"])
keepalive = 60
loglevel = "warning"


def on_starting(server):
    def end_with_input():
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_input, daemon=True).start()


def post_worker_init(worker):
    print(json.dumps({"pid": worker.pid}), flush=True)
