"""Settings and policy files under attack: whatever happens to them, what served last goes on serving, and only whole files count."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from policies import ONE_ROUTE
from support import BINARY, FULL, Gateway, accepts, ask, new_key, public_half, sign, wait_for

KEY = new_key("k1")
ISSUER = "https://issuer.example"
NOBODY = 65534

# The second half takes away what the first gives: served alone it would be a breach.
GIVES = ONE_ROUTE
TAKES = GIVES + "      - { id: nobody, effect: deny, roles: [user] }\n"

BOMBS = {
    "empty": "",
    "only a comment": "# nothing\n",
    "null": "null\n",
    "a list": "- 1\n",
    "a byte order mark": "\ufeff" + GIVES,
    "two documents": GIVES + "---\n" + GIVES,
    "a tag": GIVES.replace("things\n", "!evil things\n", 1),
    "a custom tag": "!evil\n" + GIVES,
    "a repeated key": GIVES + "routes: []\n",
    "an unknown key": GIVES + "alow: true\n",
    "yes is no boolean": GIVES + "      - { id: x, roles: yes }\n",
    "no routes": "apiVersion: cogward/v1\nroutes: []\n",
    "a nul": GIVES + "\0",
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)),
    "merge keys": "a: &a { b: 1 }\n" + GIVES + "<<: *a\n",
    "an alias to itself": "a: &a [*a]\n" + GIVES,
    "10,000 lists": "[" * 10_000,
    "10,000 maps": "".join(" " * n + "a:\n" for n in range(900)),
    "10,000 braces": "a: " + "{a: " * 10_000,
    "100 MB": "# " + "x" * 100_000_000 + "\n" + GIVES,
    "just over the limit": GIVES + "#" * (1 << 20),
    "one long line": "a: '" + "x" * 1_000_000 + "'\n",
    "a condition of parentheses": GIVES.replace("roles: [user]", f"when: '{'(' * 20_000}'"),
    "a condition that is long": GIVES.replace("roles: [user]", f"when: '{' || '.join(['true'] * 50_000)}'"),
    "a regex bomb": GIVES.replace("roles: [user]", "when: 'request.path.matches(\"(a{1000}){1000}{1000}\")'"),
    "exponents": GIVES + "priority: 1e999\n",
    "not UTF-8": None,
    # Not a trick, but the largest file that is read, wrong everywhere. Last: it takes the memory that such a file takes.
    "60,000 routes without rules": "apiVersion: cogward/v1\nroutes:\n" + "".join(f"  - id: r{n}\n" for n in range(60_000)),
}


def token(**more):
    now = int(time.time())
    return sign({"iss": ISSUER, "aud": "api", "sub": "u-1", "groups": ["user"], "iat": now, "exp": now + 3600} | more, KEY)


TOKEN = token()


class Filed(Gateway):
    """A gateway whose files are about to be mistreated."""

    def __init__(self, folder, upstream, **settings):
        import json

        super().__init__(folder, {
            "identity": {"providers": [{"id": "main", "oidc": {
                "issuer": ISSUER, "audiences": ["api"], "roles_claim": "groups", "jwks": {"file": "jwks.json"}}}]},
            "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{upstream}"]}],
        } | settings, {"things.yaml": GIVES})
        (self.folder / "jwks.json").write_text(json.dumps({"keys": [public_half(KEY)]}))
        self.policy = self.folder / "policies" / "things.yaml"

    def may(self):
        return self.ask("GET", "/things/1", TOKEN)[0]

    def rejected(self):
        return self.metric("cogward_reloads_total", result="rejected")

    def replace(self, text, path=None):
        path = path or self.policy
        aside = path.with_name("." + path.name)
        aside.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.replace(aside, path)

    def now_serves(self, text, status):
        self.replace(text)
        wait_for("the reload", lambda: self.may() == status)


@pytest.fixture
def filed(tmp_path, recorder):
    one = Filed(tmp_path, recorder.port).start()
    yield one
    assert one.stop() == 0
    recorder.take()


def test_a_bomb_in_a_policy_file_changes_nothing(filed):
    assert filed.may() == 200
    before, slowest = filed.resident_kib(), 0.0
    for name, text in BOMBS.items():
        grown, count, started = filed.resident_kib() - before, filed.rejected(), time.monotonic()
        filed.replace(b"\xff\xfe" + GIVES.encode("utf-16-le") if text is None else text)
        wait_for(f"the refusal of {name}", lambda: filed.rejected() > count, 30)
        slowest = max(slowest, time.monotonic() - started)
        assert filed.may() == 200, name
        assert filed.status()["last_rejected"]["report"], name
        filed.replace(GIVES)
        wait_for("the recovery", lambda: filed.status()["stale_since"] is None)
    large = filed.resident_kib() - before
    filed.now_serves(TAKES, 403)
    print(f"\nfiles: {len(BOMBS)} bombs refused, the slowest after {slowest:.1f} s, {grown} KiB grown; {large} KiB with the largest file")
    assert grown < 50 * 1024 and large < 200 * 1024


def test_a_bomb_in_the_settings_changes_nothing(filed):
    settings = filed.folder / "cogward.yaml"
    good = settings.read_text()
    for name, text in BOMBS.items():
        if name in ("100 MB", "just over the limit", "one long line") or text is None or "condition" in name:
            continue
        count = filed.rejected()
        filed.replace(text, settings)
        wait_for(f"the refusal of {name}", lambda: filed.rejected() > count, 30)
        assert filed.may() == 200, name
        filed.replace(good, settings)
        wait_for("the recovery", lambda: filed.status()["stale_since"] is None)
    filed.now_serves(TAKES, 403)


def test_half_a_file_never_decides(filed):
    """Written in place, in two pieces with a pause: the first piece alone would let the caller in."""
    filed.now_serves(TAKES, 403)
    rounds, asked = (300 if FULL else 20), 0
    for turn in range(rounds):
        with open(filed.policy, "w") as file:
            file.write(GIVES)
            file.flush()
            end = time.monotonic() + (turn % 10) * 0.009
            while time.monotonic() < end:
                assert filed.may() == 403, f"round {turn}: half a file has decided"
                asked += 1
            file.write(TAKES[len(GIVES):] + f"# {turn}\n")
        assert filed.may() == 403
        asked += 1
    print(f"\nfiles: {rounds} files written in two pieces, {asked} requests meanwhile, 0 decided by half a file")


def test_policies_that_disappear_are_not_an_empty_set(filed):
    policies = filed.policy.parent
    for remove in (lambda: filed.policy.unlink(), lambda: shutil.rmtree(policies), lambda: policies.rename(filed.folder / "away")):
        count = filed.rejected()
        remove()
        wait_for("the refusal", lambda: filed.rejected() > count)
        assert filed.may() == 200
        shutil.rmtree(filed.folder / "away", ignore_errors=True)
        policies.mkdir(exist_ok=True)
        filed.policy.write_text(GIVES)
        wait_for("the recovery", lambda: filed.status()["stale_since"] is None)
        assert filed.may() == 200
    filed.now_serves(TAKES, 403)


def test_things_that_are_no_files_do_not_hang_the_reload(filed):
    odd = filed.policy.parent / "odd.yaml"
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink("nowhere", path),
                 lambda path: os.symlink(path, path), lambda path: os.symlink("/proc/self/mem", path)):
        count = filed.rejected()
        make(odd)
        if not (odd.is_dir() and not odd.is_symlink()):
            wait_for("the refusal", lambda: filed.rejected() > count)
        assert filed.may() == 200
        odd.rmdir() if odd.is_dir() and not odd.is_symlink() else odd.unlink()
        wait_for("the recovery", lambda: filed.status()["stale_since"] is None)
    filed.now_serves(TAKES, 403)


def test_a_config_map_swaps_under_load_and_is_never_seen_in_between(filed):
    """As kubelet does it: a new folder, a new link, renamed over the old one."""
    policies = filed.policy.parent
    for old in policies.iterdir():
        old.unlink()

    def publish(turn, text):
        version = policies / f"..v{turn}"
        version.mkdir()
        (version / "things.yaml").write_text(text)
        os.symlink(version.name, policies / "..data_tmp")
        os.replace(policies / "..data_tmp", policies / "..data")
        if not (policies / "things.yaml").is_symlink():
            os.symlink("..data/things.yaml", policies / "things.yaml")
        if turn:
            shutil.rmtree(policies / f"..v{turn - 1}")

    rounds, slowest, asked = (1000 if FULL else 25), 0.0, 0
    for turn in range(rounds):
        expected = 403 if turn % 2 == 0 else 200
        publish(turn, (TAKES if turn % 2 == 0 else GIVES) + f"# {turn}\n")
        started = time.monotonic()
        while (status := filed.may()) != expected:
            assert status in (200, 403)
            asked += 1
            assert time.monotonic() - started < 15, f"swap {turn} is not seen"
        slowest = max(slowest, time.monotonic() - started)
    print(f"\nfiles: {rounds} swaps of a ConfigMap, each seen, the slowest after {slowest:.2f} s, {asked} requests meanwhile")


def test_a_flood_of_events_does_not_hide_the_last_change(filed):
    """More events than the kernel's queue holds (16,384), and the change that matters among them."""
    noise = filed.policy.parent / "noise"
    noise.mkdir()
    end = time.monotonic() + (20 if FULL else 3)
    made = 0
    while time.monotonic() < end:
        for n in range(1_000):
            path = noise / f".{n}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.unlink(path)
            made += 1
        assert filed.may() == 200
    started = time.monotonic()
    filed.now_serves(TAKES, 403)
    print(f"\nfiles: {made} files made and removed, the change behind them seen after {time.monotonic() - started:.2f} s")


@pytest.mark.parametrize("what", ["things.yaml", "."])
def test_files_that_may_no_longer_be_read_change_nothing(tmp_path, recorder, what):
    """Run as somebody whom permissions bind."""
    one = Filed(tmp_path, recorder.port)
    asuser = {}
    if os.geteuid() == 0:
        asuser = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for path in (tmp_path, *tmp_path.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        for parent in tmp_path.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    binary = shutil.copy(BINARY, tmp_path / "cogward")
    one.process = subprocess.Popen([binary, "serve", "--config", str(one.folder / "cogward.yaml")], cwd=tmp_path,
                                   stdout=one.log, stderr=one.log, **asuser)
    wait_for("the gateway", lambda: one.alive() and accepts(one.admin) and ask(one.admin, "GET", "/readyz")[0] == 200)
    path, count = Path(one.policy.parent, what), one.rejected()
    mode = path.stat().st_mode
    path.chmod(0)
    wait_for("the refusal", lambda: one.rejected() > count, 20)
    assert one.may() == 200
    path.chmod(mode)
    wait_for("the recovery", lambda: one.status()["stale_since"] is None, 20)
    if os.geteuid() == 0:
        one.policy.write_text(TAKES)
        wait_for("the reload", lambda: one.may() == 403, 20)
    assert one.stop() == 0
    recorder.take()
