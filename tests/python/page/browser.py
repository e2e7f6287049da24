"""A browser without a screen, driven over a pipe by the DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
AXE = REPOSITORY / ".cache/axe/package/axe.min.js"
PROGRAMS = ["chromium-headless-shell", "chromium", "google-chrome"]
MAC = "/Applications/Chromium.app/Contents/MacOS/Chromium"
PATIENCE = 40

# With ordinary spaces in the place of those at which no line ends.
TEXT = "document.body.innerText.replaceAll('\\u00a0', ' ')"


def program():
    for name in [*PROGRAMS, MAC]:
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError("there is no Chromium; run scripts/setup.sh")


class Browser:
    """One tab. `problems` collects what the browser itself complains of."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="pgvalet-browser-")
        # Chromium reads from 3 and writes to 4; root needs --no-sandbox.
        command = (
            f"exec {program()!r} --headless --remote-debugging-pipe --no-sandbox --disable-gpu"
            f" --disable-dev-shm-usage --hide-scrollbars --no-first-run"
            f" --user-data-dir={self.directory!r} about:blank"
            " 3<&0 4>&1 </dev/null >/dev/null 2>&1"
        )
        self.process = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.sent = 0
        self.unread = b""
        self.session = None
        self.problems = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ["Page", "Runtime", "Log"]:
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def call(self, method, **parameters):
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self.sent:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _read(self):
        while b"\0" not in self.unread:
            more = os.read(self.process.stdout.fileno(), 1 << 20)
            assert more, "the browser has ended"
            self.unread += more
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        method, about = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.problems.append(details.get("exception", details).get("description", details))
        if method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.problems.append(about["entry"]["text"])

    def show(self, width, height, dark=False):
        """Sets the size of the window, and which colours the reader prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, motion])

    def open(self, url):
        # A change of the part behind # alone would not load anything.
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)

    def js(self, expression):
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression):
        """Waits until an expression is true, and returns it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            value = self.js(f"(() => {{ try {{ return {expression} }} catch {{ return null }} }})()")
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}\n{self.text()}")

    def text(self):
        return self.js(TEXT)

    def reads(self, words):
        """Waits until the page says something."""
        self.wait(f"{TEXT}.includes({json.dumps(words)})")

    def press(self, words):
        """Presses the button or link that says `words`, as soon as it is there."""
        find = (
            "[...document.querySelectorAll(document.querySelector('dialog[open]')"
            " ? 'dialog button' : 'button, a')]"
            f".find(b => b.innerText.trim().startsWith({json.dumps(words)}))"
        )
        self.wait(f"!!{find}")
        self.js(f"{find}.click()")

    def key(self, name, code, text=""):
        for kind in ["keyDown", "keyUp"]:
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key=name, code=name, windowsVirtualKeyCode=code, text=text,
            )

    def type(self, text):
        self.call("Input.insertText", text=text)

    def violations(self):
        """What axe-core finds, which keeps people out."""
        self.call("Runtime.evaluate", expression=AXE.read_text())
        return self.js(
            "axe.run(document, { resultTypes: ['violations'] }).then(found =>"
            " found.violations.map(v => `${v.id}: ${v.help}: ` + v.nodes.map(n => n.html).join(', ')))"
        )

    def overflows(self):
        """Whether the page can be scrolled sideways."""
        return self.js("document.documentElement.scrollWidth > innerWidth")

    def picture(self, path):
        shot = self.call("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(shot["data"]))
