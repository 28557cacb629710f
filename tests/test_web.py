#!/usr/bin/env python3
"""examples/web: built as its README says, then run by Node.js and, where it is there, looked at in Chromium.

EFFNETC_COMMAND is the built command."""

import functools
import http.server
import json
import os
import pathlib
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent
COMMAND = os.environ.get("EFFNETC_COMMAND", "effnetc")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SKIPPED = 77

# What a script for Node.js begins with.
LOAD = """
import { readFileSync } from "node:fs";
import { Net, best } from "./net.mjs";
const about = JSON.parse(readFileSync("net.json"));
const load = (weights) => Net.load(readFileSync("net.wasm"), weights, about);
"""


def missing():
    """A tool that isn't there; "" where all are."""
    for tool in ("clang", "wasm-ld", "node"):
        if not shutil.which(tool):
            return tool
    return ""


def run(command, folder, **options):
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{command}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def build(folder):
    """Runs the README's commands, but for the server; returns the folder that they fill."""
    (folder / "examples").symlink_to(SOURCE / "examples")
    text = (SOURCE / "examples/web/README.md").read_text().replace("\\\n", "")
    commands = re.findall("^    (.*)", text, re.M)
    assert [c.split()[0] for c in commands] == ["effnetc", "clang", "cp", "python3"], commands
    for command in commands[:3]:
        run(re.sub("^effnetc ", f"'{COMMAND}' ", command), folder, shell=True)
    return folder / "out"


# Looks at the page until it has classified its picture, and sends what is in it then.
PROBE = """<iframe id="page" src="index.html?picture=chelsea.png"></iframe>
<script>
function look() {
    const page = document.getElementById("page").contentDocument;
    const says = page && page.getElementById("says");
    if (says && /pixels|Error/.test(says.textContent)) fetch("done", { method: "POST", body: page.body.innerHTML });
    else setTimeout(look, 50);
}
look();
</script>
"""


class Server(http.server.ThreadingHTTPServer):
    """Of a folder; `found` is what a page posts."""

    def __init__(self, folder):
        super().__init__(("localhost", 0), functools.partial(Handler, directory=folder))
        self.found = queue.Queue()


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_POST(self):
        self.server.found.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


class Web(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Chromium's processes may end a moment after it.
        folder = tempfile.TemporaryDirectory(prefix="effnetc-web-", ignore_cleanup_errors=True)
        cls.addClassCleanup(folder.cleanup)
        cls.out = build(pathlib.Path(folder.name))

    def node(self, script):
        (self.out / "script.mjs").write_text(LOAD + script)
        return run(["node", "script.mjs"], self.out)

    def test_outputs(self):
        """Pictures of any size and one after another, as effnetc run has them."""
        for width, height in [(300, 451), (224, 256), (31, 20)]:
            rgb = random.Random(width).randbytes(3 * width * height)
            (self.out / "a.ppm").write_bytes(b"P6 %d %d 255\n" % (width, height) + rgb)
            model = SOURCE / "examples/models/efficientnet_lite0.onnx"
            found = json.loads(run([COMMAND, "run", model, "a.ppm", "--json", "--top=5"], self.out))
            wanted = found[0]["classes"]
            (self.out / "a.rgba").write_bytes(b"".join(rgb[i : i + 3] + b"\xff" for i in range(0, len(rgb), 3)))
            answer = json.loads(self.node(f"""
                const net = await load(readFileSync("net.weights.bin"));
                const other = net.run({{ data: new Uint8Array(4 * 99 * 98), width: 99, height: 98 }});
                const [logits] = net.run({{ data: readFileSync("a.rgba"), width: {width}, height: {height} }});
                console.log(JSON.stringify(best(logits, 5)));"""))
            self.assertEqual([x["class"] for x in answer], [x["class"] for x in wanted])
            for a, b in zip(answer, wanted):
                self.assertAlmostEqual(a["probability"], b["probability"], 5)

    def test_faults(self):
        text = self.node("""
            const weights = readFileSync("net.weights.bin");
            weights[weights.length >> 1] ^= 1;
            await load(weights).catch((e) => console.log(e.message));
            const net = await load(readFileSync("net.weights.bin"));
            try { net.run({ data: [], width: 0, height: 5 }); } catch (e) { console.log(e.message); }""")
        self.assertIn("is not of this net.wasm (6", text)
        self.assertIn("net_run_picture returned -2", text)

    @unittest.skipUnless(CHROMIUM, "no Chromium: the page was not looked at")
    def test_page(self):
        shutil.copy(SOURCE / "examples/images/chelsea.png", self.out)
        (self.out / "probe.html").write_text(PROBE)
        server = Server(self.out)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = subprocess.Popen([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
                                    f"--user-data-dir={self.out}/profile",
                                    f"http://localhost:{server.server_port}/probe.html"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            text = server.found.get(timeout=200)
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
            server.server_close()
        self.assertRegex(text, r'<table id="found">(<tbody>)?<tr><td>40\.8\d %</td><td>tiger cat</td>')
        self.assertIn("451 x 300 pixels", text)


if __name__ == "__main__":
    if tool := missing():
        print(f"{tool} is not installed: examples/web was not built")
        sys.exit(SKIPPED)
    unittest.main()
