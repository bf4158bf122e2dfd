"""Running commands and waiting for conditions, each with a deadline."""
import ipaddress
import shlex
import subprocess
import time


class WorldError(Exception):
    """A command failed, or a condition did not come true in time."""


def wait_until(condition, deadline=5.0, what=None, every=0.02):
    """Poll until condition() is true and return its value; WorldError after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise WorldError(f"not so within {deadline} s: {what or condition.__name__}")
        time.sleep(every)


def stays(condition, seconds, what=None, every=0.1):
    """Poll condition() for so long; WorldError as soon as it is false."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            raise WorldError(f"did not stay so for {seconds} s: {what or condition.__name__}")
        time.sleep(every)


def words(command):
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def execute(command, *, check=True, timeout=60, input=None):
    """Run to the end; WorldError with all it wrote if it fails or outlives `timeout`."""
    argv = words(command)
    try:
        done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as late:
        raise WorldError(f"{shlex.join(argv)}: no end within {timeout} s\n{late.stdout}\n{late.stderr}") from None
    if check and done.returncode != 0:
        raise WorldError(f"{shlex.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def version_of(address):
    return ipaddress.ip_interface(address).version


def is_up(process):
    return process.poll() is None


def tail(path, lines=40):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"
