"""What a process's memory and a folder hold."""
import array
import contextlib
import itertools
import mmap
from pathlib import Path

PRESENT_OR_SWAPPED = 3 << 62


def touched(pagemap, start, end):
    """(from, to) of what has pages, in a region: the rest is zeroes, and reading it would make it take room."""
    pagemap.seek(start // mmap.PAGESIZE * 8)
    pages = array.array("Q", pagemap.read((end - start) // mmap.PAGESIZE * 8))
    at = start
    for there, run in itertools.groupby(pages, lambda page: bool(page & PRESENT_OR_SWAPPED)):
        size = sum(1 for _ in run) * mmap.PAGESIZE
        if there:
            yield at, at + size
        at += size


def regions(pid):
    """What it has written or may write, a piece at a time."""
    of = Path(f"/proc/{pid}")
    with open(of / "maps") as maps, open(of / "mem", "rb", 0) as memory, open(of / "pagemap", "rb", 0) as pagemap:
        for line in maps:
            span, permissions, *rest = line.split()
            if not permissions.startswith("rw") and rest[-1].startswith(("/", "[v")):
                continue
            for start, end in touched(pagemap, *(int(number, 16) for number in span.split("-"))):
                with contextlib.suppress(OSError):
                    memory.seek(start)
                    yield memory.read(end - start)


def in_memory(pid, needles):
    """Names of the needles ({name: bytes}) that the process holds."""
    found = set()
    for region in regions(pid):
        found |= {name for name, needle in needles.items() if needle in region}
    return found


def copies_in_memory(pid, needle):
    return sum(region.count(needle) for region in regions(pid))


def on_disk(folder, needles):
    """{file: names of the needles in it}"""
    held = {}
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        content = path.read_bytes()
        names = {name for name, needle in needles.items() if needle in content or needle in path.name.encode()}
        if names:
            held[path.relative_to(folder).as_posix()] = names
    return held
