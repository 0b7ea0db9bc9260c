"""A WebSocket (RFC 6455) that sends back what it gets, from the standard library alone."""

import base64
import hashlib
import signal
import socketserver
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if b"sec-websocket-key" not in headers:
            body = b"Connect with a WebSocket.\n"
            head = f"HTTP/1.1 426 Upgrade Required\r\nContent-Length: {len(body)}\r\n"
            self.wfile.write(head.encode() + b"Upgrade: websocket\r\nConnection: close\r\n\r\n" + body)
            return
        digest = hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest()
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        self.echo()

    def echo(self):
        while frame := self.read_frame():
            first, payload = frame
            opcode = first & 0x0F
            if opcode == TEXT and payload == b"close please":
                return self.write_frame(0x80 | CLOSE, (4001).to_bytes(2, "big") + b"as you wish")
            if opcode == PING:
                first = 0x80 | PONG
            if opcode != PONG:
                self.write_frame(first, payload)
            if opcode == CLOSE:
                return

    def read_frame(self):
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(self.rfile.read(2), "big")
        elif length == 127:
            length = int.from_bytes(self.rfile.read(8), "big")
        mask = self.rfile.read(4) if head[1] & 0x80 else bytes(4)
        payload = self.rfile.read(length)
        return head[0], bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    def write_frame(self, first, payload):
        length = len(payload)
        if length < 126:
            head = bytes([first, length])
        elif length < 65536:
            head = bytes([first, 126]) + length.to_bytes(2, "big")
        else:
            head = bytes([first, 127]) + length.to_bytes(8, "big")
        self.wfile.write(head + payload)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
Server(("0.0.0.0", 8080), Handler).serve_forever()
