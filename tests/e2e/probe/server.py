"""The container of most tests: does and tells what a test asks for by URL.

`/<name>/<question>?<arguments>`; answers are JSON. Its environment: START_DELAY (seconds before it
listens), IGNORE_SIGTERM, PORTS (more `host:port` to listen on, comma-separated).
"""

import errno
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

INSTANCE = os.environ.get("CLOUDFLARE_DEPLOYMENT_ID")


def who(_):
    return {"instance": INSTANCE, "pid": os.getpid(), "hostname": socket.gethostname()}


def env(_):
    return dict(os.environ)


def read(arguments):
    try:
        with open(arguments["path"]) as file:
            return {"text": file.read()}
    except OSError as error:
        return {"error": str(error)}


def write(arguments):
    with open(arguments["path"], "w") as file:
        file.write(arguments["text"])
    return {"written": arguments["path"]}


def fetch(arguments):
    try:
        with urllib.request.urlopen(arguments["url"], timeout=5) as reply:
            return {"text": reply.read().decode()}
    except OSError as error:
        return {"error": str(error)}


CONNECTIONS = {}


def keep(arguments):
    host, opened = arguments["host"], 0
    if host not in CONNECTIONS:
        kind = http.client.HTTPSConnection if "tls" in arguments else http.client.HTTPConnection
        CONNECTIONS[host] = kind(host, timeout=5)
        CONNECTIONS[host].opened = set()
    connection = CONNECTIONS[host]
    try:
        connection.request("GET", arguments["path"])
        connection.opened.add(connection.sock.getsockname()[1])
        opened = len(connection.opened)
        return {"text": connection.getresponse().read().decode(), "connections": opened}
    except OSError as error:
        return {"error": str(error)}


def websocket(arguments):
    """One message on a WebSocket, and the one that comes back."""
    text = arguments["text"].encode()
    with socket.create_connection((arguments["host"], 80), timeout=5) as connection:
        stream = connection.makefile("rwb")
        stream.write(
            f"GET / HTTP/1.1\r\nHost: {arguments['host']}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        stream.flush()
        status = stream.readline().decode()
        while stream.readline().strip():
            pass
        if " 101 " not in status:
            return {"error": status}
        # A whole text frame; the mask is zero.
        stream.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        stream.flush()
        length = stream.read(2)[1]
        return {"text": stream.read(length).decode()}


def eat(arguments):
    _memory = b"x" * (int(arguments["mib"]) * 1024 * 1024)
    return {"eaten": arguments["mib"]}


def fill(arguments):
    filled = 0
    try:
        with open("/filled", "wb", buffering=0) as file:
            while filled < int(arguments["mib"]):
                file.write(b"x" * (1024 * 1024))
                filled += 1
        return {"filled": filled}
    except OSError as error:
        return {"filled": filled, "error": errno.errorcode[error.errno]}


def end(arguments):
    threading.Timer(0.1, os._exit, [int(arguments["code"])]).start()
    return {"ends": arguments["code"]}


def nap(arguments):
    time.sleep(float(arguments["seconds"]))
    return {"napped": arguments["seconds"]}


def say(arguments):
    print(arguments["text"], flush=True)
    return {"said": arguments["text"]}


QUESTIONS = {
    "who": who,
    "env": env,
    "read": read,
    "write": write,
    "fetch": fetch,
    "keep": keep,
    "websocket": websocket,
    "eat": eat,
    "fill": fill,
    "end": end,
    "nap": nap,
    "say": say,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        arguments = {name: values[0] for name, values in parse_qs(url.query).items()}
        question = QUESTIONS.get(url.path.split("/")[-1], who)
        answer = question(arguments) | {"port": self.server.server_port}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def stop(*_):
    print("asked to stop", flush=True)
    if "IGNORE_SIGTERM" not in os.environ:
        sys.exit(0)


signal.signal(signal.SIGTERM, stop)
time.sleep(float(os.environ.get("START_DELAY", 0)))
for address in filter(None, os.environ.get("PORTS", "").split(",")):
    host, port = address.rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
