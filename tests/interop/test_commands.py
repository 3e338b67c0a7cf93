"""The commands, as a newcomer runs them."""

import json
import os
import shlex
import signal
import subprocess

from policies import CONTACTS, ONE_ROUTE
from support import BINARY, ROOT, ask, free_port


def cogward(*arguments, **more):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60, **more)


def test_the_demo_answers_as_it_says(tmp_path):
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    demo = subprocess.Popen(
        [BINARY, "demo", "--output", "json", "--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    try:
        said = json.loads(demo.stdout.readline())
        assert set(said) >= {"gateway", "admin", "tokens", "examples"}
        assert set(said["tokens"]) == {"admin", "user", "stranger", "machine"}
        for example in said["examples"] * 2:
            answer = subprocess.run([*shlex.split(example["curl"]), "-sS", "-o", "/dev/null", "-w", "%{http_code}"],
                                    capture_output=True, text=True)
            assert answer.stdout == str(example["status"]), (example, answer)
        minted = cogward("token", "--sub", "u-9", "--groups", "user", env=environment)
        assert minted.returncode == 0
        port = int(said["gateway"].rsplit(":", 1)[1])
        assert ask(port, "GET", "/users/u-9/contacts", minted.stdout.strip())[0] == 200
        expired = cogward("token", "--sub", "u-9", "--groups", "user", "--expires-in", "-10", env=environment)
        assert ask(port, "GET", "/users/u-9/contacts", expired.stdout.strip())[0] == 401
        admin = said["admin"].removeprefix("http://")
        assert cogward("healthcheck", "--admin", admin).returncode == 0
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0, demo.stderr.read()
    assert cogward("healthcheck", "--admin", admin).returncode == 1


def test_the_lines_that_the_demo_prints_can_be_pasted_into_a_shell(tmp_path):
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    demo = subprocess.Popen(
        [BINARY, "demo", "--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path, env=environment)
    try:
        tokens, expected, lines = [], [], []
        while not (line := demo.stdout.readline()).startswith("Stop with"):
            if "_TOKEN=" in line:
                tokens.append(line)
            if line.startswith("# "):
                expected.append(line.rsplit(": ", 1)[1].strip())
            if line.startswith("curl "):
                lines.append(f"{line.strip()} -sS -o /dev/null -w '%{{http_code}}\n'\n")
        pasted = subprocess.run(["sh", "-c", "".join(tokens + lines)], capture_output=True, text=True)
        assert len(expected) > 10 and pasted.stdout.split() == expected, pasted
    finally:
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(30) == 0


def test_token_refuses_a_real_pool(tmp_path):
    config = tmp_path / "cogward.yaml"
    config.write_text((ROOT / "config" / "cogward.yaml").read_text())
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "AWS_COGNITO_POOL_ID": "eu-west-1_a1B2c3D4e"}
    refused = cogward("token", "--sub", "u-1", "--config", str(config), env=environment)
    assert refused.returncode != 0 and refused.stdout == "" and "demo" in refused.stderr


def test_validate_tells_every_problem_with_its_place(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(ONE_ROUTE.replace("roles:", "rolls:").replace("{id}", "{id"))
    (tmp_path / "cogward.yaml").write_text(json.dumps({
        "listeners": [{"address": "127.0.0.1:8080"}], "limit": {},
        "identity": {"providers": [{"id": "main", "cognito": {"user_pool_id": "x", "client_ids": ["a"]}}]},
        "upstreams": [{"id": "u", "endpoints": ["http://127.0.0.1:9000"]}], "policies": {"path": "policies"}}))
    found = cogward("validate", "--config", str(tmp_path / "cogward.yaml"), "--output", "json")
    assert found.returncode == 3
    diagnostics = json.loads(found.stdout)["diagnostics"]
    assert len(diagnostics) >= 3, diagnostics
    for diagnostic in diagnostics:
        assert {"file", "line", "column", "pointer", "code", "message"} <= set(diagnostic)
        assert diagnostic["line"] >= 1
    assert "limits" in str(diagnostics), "no advice for the misspelt key"
    text = cogward("validate", "--config", str(tmp_path / "cogward.yaml"))
    assert text.returncode == 3 and "error[" in text.stdout


def test_the_shipped_files_are_valid_and_lint_clean():
    found = cogward("validate", "--config", str(ROOT / "config" / "cogward.yaml"), "--output", "json")
    assert (found.returncode, json.loads(found.stdout)) == (0, {"valid": True, "diagnostics": []})


def test_usage_and_start_errors_have_their_exit_codes(tmp_path):
    assert cogward("serve", "--nonsense").returncode == 64
    assert cogward("--help").returncode == 0
    assert cogward("serve", "--config", str(tmp_path / "absent.yaml")).returncode == 3
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "policies").mkdir()
        for name, text in CONTACTS.items():
            (tmp_path / "policies" / name).write_text(text)
        (tmp_path / "cogward.yaml").write_text(json.dumps({
            "listeners": [{"address": f"127.0.0.1:{taken.getsockname()[1]}"}], "admin": {"address": f"127.0.0.1:{free_port()}"},
            "identity": {"providers": [{"id": "main", "cognito": {
                "user_pool_id": "eu-west-1_EXAMPLE", "client_ids": ["a"], "jwks": {"url": "http://127.0.0.1:9/"}}}]},
            "upstreams": [{"id": "u", "endpoints": ["http://127.0.0.1:9000"]}], "policies": {"path": "policies"}}))
        refused = cogward("serve", "--config", str(tmp_path / "cogward.yaml"))
        assert refused.returncode == 1 and "in use" in refused.stderr
