"""A stand-in for a proxy: the page's own files and headers, and states that are made up."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import states
import views
from browser import REPOSITORY

PAGE = REPOSITORY / "src/admin/page"
SOURCE = (REPOSITORY / "src/admin/page.rs").read_text()
TOKEN = "0123456789abcdef"

KINDS = dict(re.findall(r'const ([A-Z]+): &str = "(\w+/[^"]+)";', SOURCE))
FILES = {
    path: (KINDS[kind], name)
    for path, kind, name in re.findall(r'"(/[^"]*)", ([A-Z]+), "([^"]+)";', SOURCE)
}
POLICY = re.sub(r"\\\n\s*", "", re.search(r'POLICY: &str = "([^"]+)"', SOURCE).group(1))


class StandIn(ThreadingHTTPServer):
    """`state` is what is shown; `asked` is what was done, as far as it was allowed."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.state = states.rest()
        self.views = dict(views.ALL)
        self.locked = False
        self.gone = False
        self.asked = []
        self.explained = []
        self.refuses = None
        self.changed = threading.Condition()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.leave()
        self.shutdown()
        self.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def set(self, state):
        with self.changed:
            self.state = state
            self.changed.notify_all()

    def leave(self):
        """Ends what is open, and answers nobody until `come_back`."""
        with self.changed:
            self.gone = True
            self.changed.notify_all()

    def come_back(self):
        self.gone = False


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    @property
    def has_token(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        if not self.has_token:
            return self.answer(401, "text/plain", "this needs the token\n")
        if self.server.refuses:
            return self.answer(409, "application/json", json.dumps(self.server.refuses))
        self.server.asked.append(self.path)
        return self.answer(200, "application/json", "[]")

    def do_GET(self):
        path = self.path.split("?")[0]
        if path in FILES:
            kind, name = FILES[path]
            return self.answer(200, kind, (PAGE / name).read_text())
        if self.server.gone:
            return self.close()
        if (self.server.locked or path in views.PRIVATE) and not self.has_token:
            return self.answer(401, "text/plain", "this needs the token\n")
        if path == "/explain":
            self.server.explained.append(self.path)
        if path == "/events":
            return self.events()
        if path in self.server.views:
            return self.answer(200, "application/json", json.dumps(self.server.views[path]))
        return self.answer(404, "text/plain", "")

    def close(self):
        self.close_connection = True

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        server = self.server
        try:
            self.event("hello", {"may_change": self.has_token})
            self.event("history", states.history(server.state))
            while not server.gone:
                with server.changed:
                    self.event("status", server.state)
                    server.changed.wait(5)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def event(self, name, data):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()
