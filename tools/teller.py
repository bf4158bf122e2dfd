"""What the reader of a demonstration sees: numbered steps, commands, ticks, excerpts."""
import itertools
import os


class Teller:
    def __init__(self, out):
        self.out = out
        self.colours = out.isatty() and "NO_COLOR" not in os.environ
        self.tick = "✓" if (out.encoding or "").lower().startswith("utf") else "ok"
        self.steps = itertools.count(1)

    def _paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text

    def line(self, text=""):
        print(text, file=self.out, flush=True)

    def step(self, title):
        self.line("\n" + self._paint("1", f"{next(self.steps)}. {title}"))

    def command(self, who, line):
        self.line(f"   {self._paint('36', f'{who}# {line}')}")

    def good(self, text):
        self.line(f"   {self._paint('32', self.tick)} {text}")

    def quote(self, text):
        for line in text.splitlines():
            self.line(self._paint("2", f"       {line}".rstrip()))
