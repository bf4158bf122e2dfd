"""The command line by itself: what it makes, refuses and says. No daemon runs; where one is needed, a fake answers."""
import contextlib
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
import termios
import threading
from pathlib import Path
from random import Random

import pytest

ROOT = Path(__file__).resolve().parents[2]
NIGHTJAR = ROOT / "build/nightjar"
COMMANDS = ["init", "invite", "join", "up", "down", "status", "devices", "ping", "doctor", "can", "policy check",
            "policy test", "policy diff", "policy publish", "policy show"]
PASSPHRASE = "correct horse battery staple"
POLICY = """\
allow:
  - {from: sensors, to: operators, tcp: [502, "9000-9010"], icmp: any}
  - from: pump-3
    to: all
    udp: any
"""


class Cli:
    def __init__(self, state):
        self.state = state

    def run(self, *words, code=0, text=None, pass_fds=()):
        """What is told on stdout and stderr."""
        done = subprocess.run([NIGHTJAR, *map(str, words), "--state", self.state], input=text, capture_output=True,
                              text=True, timeout=60, pass_fds=pass_fds, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    def json(self, *words, code=0):
        return json.loads(self.run(*words, "--json", code=code)[0])


def init(state, *options):
    cli = Cli(state)
    out, _ = cli.run("init", "plant", "--endpoint", "203.0.113.5:51820", "--no-passphrase", *options)
    return cli, out


@pytest.fixture
def trial(tmp_path):
    return init(tmp_path / "trial", "--all-on-this-host")[0]


@contextlib.contextmanager
def daemon(state, answers):
    """Answers at the control socket: `answers` maps a command to an answer, or to a list of them, one after another."""
    digest = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:16]
    path = Path(f"/run/nightjar/{digest}.sock")
    path.parent.mkdir(exist_ok=True)
    asked = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer(line):
        question = json.loads(line)
        asked.append(question)
        found = answers[question["cmd"]]
        return found.pop(0) if isinstance(found, list) else found

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, client.makefile("rw") as lines:
                    for line in lines:
                        lines.write(json.dumps(answer(line)) + "\n")
                        lines.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
        path.unlink()


def modes(folder):
    return {path.relative_to(folder): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


# Help and wrong use

def test_help_lists_every_command_and_each_has_an_example():
    out = subprocess.run([NIGHTJAR, "--help"], capture_output=True, text=True, check=True).stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", out, re.MULTILINE)
        text = subprocess.run([NIGHTJAR, *command.split(), "--help"], capture_output=True, text=True, check=True).stdout
        assert text.startswith(f"usage: nightjar {command}") and "Example" in text and f"nightjar {command}" in text


def test_manual_and_completion_know_every_command_and_option():
    manual = (ROOT / "dist/nightjar.1").read_text().replace("Fl -", "--").replace("Fl c", "-c")
    completion = (ROOT / "dist/nightjar.bash").read_text()
    for command in COMMANDS:
        text = subprocess.run([NIGHTJAR, *command.split(), "--help"], capture_output=True, text=True, check=True).stdout
        assert f"Cm {command}" in manual
        assert all(word in completion for word in command.split())
        for option in re.findall(r"^  (-[-a-z0-9]+)", text, re.MULTILINE):
            assert option in manual, f"nightjar.1 lacks {option}"
            assert option in completion, f"the completion lacks {option}"


@pytest.mark.parametrize("words", [
    ["frob"], ["init"], ["init", "Plant", "--endpoint", "1.2.3.4:5"], ["init", "plant"],
    ["init", "plant", "--endpoint", "hub.example.org:51820"], ["init", "plant", "--endpoint", "1.2.3.4"],
    ["invite"], ["invite", "a", "b"], ["invite", "pump_3"], ["invite", "p", "--group", "all"],
    ["invite", "p", "--expires", "soon"], ["invite", "p", "--until", "2020-01-01"], ["invite", "p", "--relay", "x:1"],
    ["up", "--keep", "tcp/22"], ["up", "--darken", "--keep", "ssh"], ["up", "--listen", "0"], ["ping"],
    ["ping", "p", "-c", "0"], ["ping", "*"], ["policy"], ["policy", "check"], ["status", "--frob"],
    ["can", "a", "tcp", "b"], ["can", "a", "tcp", "0", "b"], ["can", "a", "icmp", "1", "b"], ["can", "a", "frob", "1", "b"]])
def test_wrong_use_is_2_with_a_way_to_help(tmp_path, words):
    out, err = Cli(tmp_path / "none").run(*words, code=2)
    assert out == "" and "--help" in err
    assert not any(tmp_path.iterdir())


def test_without_a_state_everything_says_what_to_do(tmp_path):
    for words in (["invite", "p"], ["policy", "show"], ["down"], ["up"]):
        err = Cli(tmp_path / "none").run(*words, code=1)[1]
        assert "does not exist" in err or "/dev/net/tun" in err
    answer = Cli(tmp_path / "none").json("status", code=1)
    assert answer["ok"] is False and answer["error"] and answer["todo"]


# Making a network

def test_init_prints_the_ticket_alone_and_closes_what_it_makes(tmp_path):
    cli, out = init(tmp_path / "op")
    assert re.fullmatch(r"nightjar-founding-1:[A-Za-z0-9_-]+\n", out)
    assert not (tmp_path / "op.new").exists()
    for path, mode in modes(cli.state).items():
        assert mode == (0o700 if (cli.state / path).is_dir() else 0o600), path
    assert (cli.state / "format").read_text() == "1\n"
    assert not (cli.state / "controller").exists()


def test_init_refuses_what_exists_and_leaves_it(tmp_path):
    cli, _ = init(tmp_path / "op")
    before = {path: path.read_bytes() for path in cli.state.rglob("*") if path.is_file()}
    err = cli.run("init", "other", "--endpoint", "1.2.3.4:5", "--no-passphrase", code=1)[1]
    assert "exists already" in err
    assert before == {path: path.read_bytes() for path in cli.state.rglob("*") if path.is_file()}


def test_a_killed_init_has_made_all_or_nothing(tmp_path):
    cli = Cli(tmp_path / "op")
    whole = 0
    for delay in range(40):
        making = subprocess.Popen([NIGHTJAR, "init", "plant", "--endpoint", "1.2.3.4:5", "--no-passphrase",
                                   "--all-on-this-host", "--state", cli.state], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            making.wait(delay / 1000)
        making.kill()
        making.wait()
        if cli.state.exists():
            cli.run("invite", "p")
            shutil.rmtree(cli.state)
            whole += 1
    cli.run("init", "plant", "--endpoint", "1.2.3.4:5", "--no-passphrase")
    assert whole < 40 and not (tmp_path / "op.new").exists()


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", small], check=True)
    try:
        (small / "filler").write_bytes(bytes(16384))
        err = Cli(small / "op").run("init", "plant", "--endpoint", "1.2.3.4:5", "--no-passphrase", code=1)[1]
        assert "o space left" in err
        assert [path.name for path in small.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_passphrase_from_a_descriptor_seals_the_owners_keys(tmp_path):
    cli = Cli(tmp_path / "op")

    def with_passphrase(text, *words, code=0):
        reading, writing = os.pipe()
        os.write(writing, text.encode() + b"\n")
        os.close(writing)
        try:
            return cli.run(*words, "--passphrase-fd", reading, pass_fds=[reading], code=code)
        finally:
            os.close(reading)

    with_passphrase(PASSPHRASE, "init", "plant", "--endpoint", "1.2.3.4:5", "--all-on-this-host")
    assert "wrong" in with_passphrase("another", "invite", "p", code=1)[1]
    assert list((cli.state / "outbox").iterdir()) == []
    assert with_passphrase(PASSPHRASE, "invite", "p")[0].startswith("nightjar-ticket-1:")
    assert "no terminal" in subprocess.run(["setsid", "-w", NIGHTJAR, "invite", "q", "--state", cli.state],
                                           capture_output=True, text=True, check=False).stderr


def test_the_terminal_is_asked_twice_and_shows_nothing(tmp_path):
    def on_terminal(first, second):
        child, terminal = pty.fork()
        if child == 0:
            os.execv(NIGHTJAR, [str(NIGHTJAR), "init", "plant", "--endpoint", "1.2.3.4:5", "--state",
                                str(tmp_path / "op")])
        seen = b""
        for prompt, line in ((b"keys: ", first), (b"again: ", second)):
            while prompt not in seen:
                seen += os.read(terminal, 4096)
            os.write(terminal, line.encode() + b"\n")
        with contextlib.suppress(OSError):
            while chunk := os.read(terminal, 4096):
                seen += chunk
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()

    code, seen = on_terminal(PASSPHRASE, "something else")
    assert code == 1 and "differ" in seen and PASSPHRASE not in seen and not any(tmp_path.iterdir())
    code, seen = on_terminal(PASSPHRASE, PASSPHRASE)
    assert code == 0 and "nightjar-founding-1:" in seen and PASSPHRASE not in seen


def test_the_founding_ticket_makes_the_hub_once(tmp_path):
    _, ticket = init(tmp_path / "op")
    hub = Cli(tmp_path / "hub")
    hub.run("join", "-", text=ticket)
    assert (hub.state / "controller/ledger.sqlite").exists()
    assert (hub.state / "node.conf").read_text() == "port=51820\n"
    (tmp_path / "ticket").write_text(ticket)
    again = hub.json("join", tmp_path / "ticket")
    assert again["already"] and again["device"] == "hub" and again["network"] == "plant"
    _, other = init(tmp_path / "other")
    assert "another ticket" in hub.run("join", "-", text=other, code=1)[1]


@pytest.mark.parametrize("spoil, sentence", [
    (lambda ticket: ticket[:100], "cut or altered"),
    (lambda ticket: ticket[:60] + ("A" if ticket[60] != "A" else "B") + ticket[61:], "cut or altered"),
    (lambda ticket: "hello", "not a ticket"),
    (lambda ticket: "", "not a ticket"),
    (lambda ticket: ticket.replace("-1:", "-2:"), "another version")])
def test_a_spoilt_ticket_is_told_apart_and_changes_nothing(tmp_path, spoil, sentence):
    _, ticket = init(tmp_path / "op")
    err = Cli(tmp_path / "new").run("join", "-", text=spoil(ticket), code=1)[1]
    assert sentence in err
    assert [path.name for path in tmp_path.iterdir()] == ["op"]


def test_ctrl_c_gives_the_terminal_its_echo_back(tmp_path):
    child, terminal = pty.fork()
    if child == 0:
        os.execv(NIGHTJAR, [str(NIGHTJAR), "init", "plant", "--endpoint", "1.2.3.4:5", "--state", str(tmp_path / "op")])
    seen = b""
    while b"keys: " not in seen:
        seen += os.read(terminal, 4096)
    assert not termios.tcgetattr(terminal)[3] & termios.ECHO
    os.write(terminal, b"half a pass\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGINT
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    assert not any(tmp_path.iterdir())


# Inviting

def test_no_ticket_while_no_relay_has_joined(tmp_path):
    cli, _ = init(tmp_path / "op")
    assert "No relay has joined" in cli.run("invite", "p", code=1)[1]
    assert list((cli.state / "outbox").iterdir()) == []


def test_without_a_daemon_an_invite_waits_in_the_outbox(trial):
    answer = trial.json("invite", "pump-3", "--group", "sensors", "--site", "north")
    assert answer["pending"] and answer["device"] == "pump-3"
    assert answer["ticket"].startswith("nightjar-ticket-1:")
    names = [path.name for path in (trial.state / "outbox").iterdir()]
    assert len(names) == 1 and re.fullmatch("[0-9a-f]{64}", names[0])
    assert trial.json("invite", "pump-4", "--wait", code=1)["pending"]


def test_a_name_that_waits_is_taken(trial):
    trial.run("invite", "pump-3")
    assert "already" in trial.run("invite", "pump-3", code=1)[1]
    assert "already" in trial.run("invite", "operator", code=1)[1]


def test_invites_at_the_same_moment_have_an_address_each_and_their_group_in_common(trial):
    made = [subprocess.Popen([NIGHTJAR, "invite", f"pump-{i}", "--group", "sensors", "--quiet", "--state", trial.state],
                             stdout=subprocess.DEVNULL) for i in range(8)]
    assert [process.wait(30) for process in made] == [0] * 8
    waiting = [path.read_bytes() for path in (trial.state / "outbox").iterdir()]
    addresses = [re.search(rb"\x03\x44([\x64-\x7f]...)", bytes_, re.DOTALL).group(1) for bytes_ in waiting]
    groups = {re.search(rb"\x82\x50(.{16})\x67sensors", bytes_, re.DOTALL).group(1) for bytes_ in waiting}
    assert len(set(addresses)) == 8 and len(groups) == 1


def test_a_qr_code_is_as_wide_as_high(trial):
    lines = trial.run("invite", "p", "--qr")[0].splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == (len(lines[0]) + 1) // 2


@pytest.mark.parametrize("answer, pending", [({"outcome": "stands", "index": 9}, False),
                                             ([{"outcome": "pending"}] * 3 + [{"outcome": "stands"}], False)])
def test_an_invite_waits_for_the_networks_word(trial, answer, pending):
    with daemon(trial.state, {"knock": {"ok": True}, "outcome": answer}) as asked:
        assert trial.json("invite", "p")["pending"] is pending
    name, = (path.name for path in (trial.state / "outbox").iterdir())
    assert asked[0] == {"v": 1, "cmd": "knock"}
    assert asked[1] == {"v": 1, "cmd": "outcome", "statement": name}


def test_ctrl_c_ends_the_waiting_but_not_without_the_ticket(trial):
    with daemon(trial.state, {"knock": {"ok": True}, "outcome": {"outcome": "pending"}}) as asked:
        inviting = subprocess.Popen(["env", "--default-signal=INT", NIGHTJAR, "invite", "p", "--json", "--state",
                                     trial.state], stdout=subprocess.PIPE, text=True)
        while len(asked) < 2:
            assert inviting.poll() is None
        inviting.send_signal(signal.SIGINT)
        out, _ = inviting.communicate(timeout=5)
    assert inviting.returncode == 0
    assert json.loads(out)["pending"] and json.loads(out)["ticket"]


def test_a_refused_invite_yields_no_ticket(trial):
    with daemon(trial.state, {"knock": {"ok": True}, "outcome": {"outcome": "refused", "sentence": "The name is taken."}}):
        out, err = trial.run("invite", "p", code=1)
    assert out == "" and "The name is taken." in err


# Policy

def test_errors_in_a_policy_have_their_place(trial, tmp_path):
    trial.run("invite", "pump-3", "--group", "sensors")
    (tmp_path / "good.yaml").write_text(POLICY)
    (tmp_path / "bad.yaml").write_text(POLICY.replace("sensors", "sensers").replace("udp: any", "upd: any"))
    trial.run("policy", "check", tmp_path / "good.yaml")
    err = trial.run("policy", "check", tmp_path / "bad.yaml", code=1)[1]
    assert f"{tmp_path}/bad.yaml:2:12: " in err and f"{tmp_path}/bad.yaml:5:5: " in err
    assert "not looked up" in Cli(tmp_path / "none").run("policy", "check", tmp_path / "good.yaml")[1]


def test_a_published_policy_is_kept_and_waits(trial, tmp_path):
    trial.run("invite", "pump-3", "--group", "sensors")
    (tmp_path / "plant.yaml").write_text(POLICY)
    answer = trial.json("policy", "publish", tmp_path / "plant.yaml")
    assert answer["pending"] and answer["version"] == 2 and answer["changes"] == 4
    assert (trial.state / "policy/2.yaml").read_text() == POLICY
    assert trial.json("policy", "show")["version"] == 1, "it is not in force yet"
    assert "still waits" in trial.run("policy", "publish", tmp_path / "plant.yaml", code=1)[1]


def test_a_refused_policy_leaves_no_file(trial, tmp_path):
    (tmp_path / "plant.yaml").write_text("allow:\n  - {from: operators, to: all, tcp: any}\n")
    with daemon(trial.state, {"knock": {"ok": True}, "outcome": {"outcome": "refused", "sentence": "No."}}):
        trial.run("policy", "publish", tmp_path / "plant.yaml", code=1)
    assert list((trial.state / "policy").iterdir()) == []


def test_an_empty_policy_over_an_empty_one_publishes_nothing(trial, tmp_path):
    (tmp_path / "empty.yaml").write_text("allow: []\n")
    assert "nothing was published" in trial.run("policy", "publish", tmp_path / "empty.yaml")[1]
    assert list((trial.state / "outbox").iterdir()) == []


def holds(grants, port):
    """Whether "icmp any; tcp 22, 100-200" holds that TCP port."""
    for part in grants.split("; "):
        protocol, _, ports = part.partition(" ")
        for piece in ports.split(", ") if protocol == "tcp" else ():
            low, _, high = piece.partition("-")
            if piece == "any" or int(low) <= port <= int(high or low):
                return True
    return False


def test_the_effect_of_a_policy_is_what_its_rules_say_pair_by_pair(trial, tmp_path):
    random = Random(5)
    members = {"operator": {"operator", "operators", "all"}}
    for i in range(7):
        groups = random.sample(["g1", "g2", "g3"], random.randrange(3))
        trial.run("invite", f"d{i}", *(word for group in groups for word in ("--group", group)))
        members[f"d{i}"] = {f"d{i}", "all", *groups}
    names = sorted(set().union(*members.values()) - {"operators"})
    for _ in range(5):
        rules = [(random.choice(names), random.choice(names), random.randrange(1, 6), random.randrange(3))
                 for _ in range(random.randrange(1, 6))]
        path = tmp_path / "random.yaml"
        path.write_text("allow:\n" + "".join(f"  - {{from: {a}, to: {b}, tcp: [{low}-{low + more}]}}\n"
                                             for a, b, low, more in rules))
        gained = {(pair["from"], pair["to"]): pair["what"] for pair in trial.json("policy", "diff", path, code=1)["gained"]}
        for a in members:
            for b in members:
                for port in range(1, 9):
                    allowed = a != b and any(x in members[a] and y in members[b] and low <= port <= low + more
                                             for x, y, low, more in rules)
                    assert holds(gained.get((a, b), ""), port) == allowed, (a, b, port, path.read_text())


# Asking a daemon

def test_status_is_the_daemons_word(trial):
    status = {"schema": 1, "device": "operator", "network": "plant", "up": True, "addresses": ["fd00::1"],
              "head": {"index": 3, "hash": "ab" * 32}, "policy_version": 1,
              "strangers": {"darkened": True, "open": ["tcp/22"], "what": "Nothing but the ports that were kept open."},
              "peers": [{"device": "hub", "addresses": [], "path": {"kind": "relayed", "endpoint": None, "relay": "hub",
                                                                    "rtt_us": 1500, "transport": "wireguard",
                                                                    "why": "this NAT shows each destination another "
                                                                           "port"},
                         "last_handshake_s": 4, "rx_bytes": 1000, "tx_bytes": 2500000}],
              "problems": [{"code": "clock-wrong", "what": "The clock is wrong.", "todo": "Set it."},
                           {"code": "ticket-reused", "device": "pump-3", "what": "Again.", "todo": "Find out."}]}
    with daemon(trial.state, {"status": status}):
        assert trial.json("status") == status
        out = trial.run("status")[0]
    for piece in ("operator of network plant", "fd00::1", "entry 3", "relayed by hub, 1.5 ms",
                  "not direct: this NAT shows each destination another port", "1.0 kB", "2.5 MB",
                  "tcp/22", "! The clock is wrong. (clock-wrong)", "Set it.", "! pump-3: Again."):
        assert piece in out


def test_ping_counts_answers_and_goes_on_after_a_lost_one(trial):
    lost = {"error": "hub did not answer.", "todo": "See.", "device": "hub"}
    good = {"device": "hub", "rtt_us": 2500, "path": "direct", "relay": None}
    with daemon(trial.state, {"ping": [lost, good]}):
        out = trial.run("ping", "hub", "-c", "2")[0]
    assert "no answer" in out and "2.50 ms, direct" in out
    with daemon(trial.state, {"ping": [lost]}):
        trial.run("ping", "hub", "-c", "1", code=1)
    with daemon(trial.state, {"ping": [{"error": "No device called hub can be reached from here.", "todo": "Look."}]}):
        assert "No device called hub" in trial.run("ping", "hub", code=1)[1]


def test_a_thousand_devices_stand_in_order_and_in_columns(trial):
    devices = [{"name": f"pump-{i * 7 % 1000}" + "x" * (i % 30), "id": "00", "groups": ["sensors"], "site": None,
                "addresses": ["fd00::1", "100.64.0.1"], "state": "joined", "relay": False, "controller": False}
               for i in range(1000)]
    with daemon(trial.state, {"devices": {"schema": 1, "devices": devices}, "status": {"peers": []}}):
        lines = trial.run("devices")[0].splitlines()
        assert len(trial.json("devices")["devices"]) == 1000
    assert len(lines) == 1001 and len({line.index("joined") for line in lines[1:]}) == 1
    assert [line.split()[0] for line in lines[1:]] == sorted(device["name"] for device in devices)


def test_up_is_done_if_it_is_up(trial):
    with daemon(trial.state, {}):
        assert trial.json("up")["already"]


def test_an_answer_that_is_no_json_or_no_answer_is_an_error(trial):
    with daemon(trial.state, {"status": "no object"}):
        trial.run("status", code=1)
