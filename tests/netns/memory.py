"""What a process's memory and a folder hold."""
import contextlib
from pathlib import Path


def regions(pid):
    """What it has written or may write, a region at a time."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, permissions, *rest = line.split()
            if not permissions.startswith("rw") and rest[-1].startswith(("/", "[v")):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            with contextlib.suppress(OSError):
                memory.seek(start)
                yield memory.read(end - start)


def in_memory(pid, needles):
    """Names of the needles ({name: bytes}) that the process holds."""
    found = set()
    for region in regions(pid):
        found |= {name for name, needle in needles.items() if needle in region}
    return found


def on_disk(folder, needles):
    """{file: names of the needles in it}"""
    held = {}
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        content = path.read_bytes()
        names = {name for name, needle in needles.items() if needle in content or needle in path.name.encode()}
        if names:
            held[path.relative_to(folder).as_posix()] = names
    return held
