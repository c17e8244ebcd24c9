"""Record the terminal session of the README: run the real commands and write docs/images/session.svg.

`make session` runs it. It starts `tiergate up` in a temporary folder, so ports 8437, 8438 and 8440 must be free.
"""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 104
READY_SECONDS = 60
PROGRESS = re.compile("[\u2800-\u28ff]|\x1b\\[\\?25")
"""Matches a line of a spinner, or a line that hides or shows the cursor."""
EDIT = (
    "curl -s -X PUT http://127.0.0.1:8440/v1/items/gold/draft/entitlements/movies \\\n"
    "       -H @admin.headers -d 30 > edited.json"
)
SESSION = (
    ("Ada has the plan Gold and two add-ons. She watched 69 movies. May she watch one more?", None),
    (None, "tiergate check ada movies --used 69"),
    ("Gold shall give 30 movies instead of 50. An edit has no effect on anybody.", None),
    (None, EDIT),
    ("What would publishing it change, and for whom?", None),
    (None, "tiergate publish --dry-run"),
    ("Publish it. Every sidecar follows within milliseconds; no service is deployed again.", None),
    (None, "tiergate publish --accept-loss {loss}"),
    (None, "tiergate check ada movies --used 69"),
)
COLOURS = [
    (38, 38, 44),
    (176, 36, 30),
    (22, 112, 48),
    (140, 98, 0),
    (20, 86, 168),
    (128, 50, 140),
    (0, 108, 116),
    (96, 96, 104),
]
THEME = TerminalTheme((250, 250, 248), (38, 38, 44), COLOURS, [(110, 110, 118), *COLOURS[1:]])


def main() -> None:
    """Record the session and write the picture."""
    target = Path(__file__).parents[1] / "docs" / "images" / "session.svg"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "tiergate-data"
        environ = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
        environ["TIERGATE_KEY_FILE"] = str(data / "admin.key")
        stack = subprocess.Popen(
            ["tiergate", "up", "--data", str(data)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until_ready(environ, stack)
            key = (data / "admin.key").read_text().strip()
            headers = f"Authorization: Bearer {key}\nContent-Type: application/json\n"
            (folder / "admin.headers").write_text(headers)
            record(folder, environ, target)
        finally:
            os.killpg(stack.pid, signal.SIGTERM)
            stack.wait(READY_SECONDS)
    print(target)


def wait_until_ready(environ: dict[str, str], stack: subprocess.Popen[bytes]) -> None:
    """Wait until the sidecar can decide."""
    until = time.monotonic() + READY_SECONDS
    while subprocess.run(
        ["tiergate", "check", "ada", "movies"], env=environ, capture_output=True, check=False
    ).returncode:
        if stack.poll() is not None or time.monotonic() > until:
            sys.exit("`tiergate up` did not get ready")
        time.sleep(0.2)


def record(folder: Path, environ: dict[str, str], target: Path) -> None:
    """Run each command at a terminal and draw its output."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    loss = ""
    for comment, command in SESSION:
        if comment is not None:
            console.print(Text(f"\n# {comment}", style="bright_black"))
            continue
        text = command.format(loss=loss)
        console.print(Text("$ ", style="bold green") + Text(text, style="bold"))
        output = run(text, folder, environ)
        found = re.search(r"loss-\S+", output)
        loss = found[0] if found else loss
        if output:
            console.print(Text.from_ansi(output))
    svg = console.export_svg(title="tiergate", theme=THEME, unique_id="session")
    svg = re.sub(r"<!--.*?-->\n?", "", svg)
    svg = re.sub(r"@font-face \{.*?\}\n*", "", svg, flags=re.DOTALL)  # the picture loads no fonts
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    svg = "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
    target.write_text(svg, encoding="utf-8")


def run(command: str, folder: Path, environ: dict[str, str]) -> str:
    """Return the output of a command at a terminal, without the final line break."""
    main_end, terminal = pty.openpty()
    process = subprocess.Popen(["sh", "-c", command], cwd=folder, env=environ, stdout=terminal, stderr=terminal)
    os.close(terminal)
    output = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:  # Linux reports the end of a terminal with this error
            break
        if not part:
            break
        output += part
    os.close(main_end)
    process.wait()
    lines = output.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(line for line in lines if not PROGRESS.search(line)).rstrip()


if __name__ == "__main__":
    main()
