"""A server on port 4000 whose end can be had in each way that a hook tells apart.

SIGTERM ends it with exit code 0, `GET …/exit/<code>` with that code, and `--broken` at once.
"""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"running\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if "/exit/" in self.path:
            code = int(self.path.rsplit("/", 1)[1])
            threading.Timer(0.1, os._exit, [code]).start()


if "--broken" in sys.argv:
    sys.exit("The configuration is missing")

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", 4000), Handler).serve_forever()
