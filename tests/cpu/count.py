"""Instructions a request of two binaries: `count.py BEFORE AFTER`. Called by tests/cpu/run."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "interop"))

from backends import Nginx  # noqa: E402
from policies import ONE_ROUTE  # noqa: E402
from support import accepts, ask, free_port, new_key, public_half, sign, wait_for  # noqa: E402

FEW, MANY = 300, 2300
ISSUER = "https://issuer.example"


def house(folder, upstream, key):
    """Settings of a small gateway, its port and that of its pages."""
    port, admin = free_port(), free_port()
    (folder / "policies").mkdir()
    (folder / "policies" / "things.yaml").write_text(ONE_ROUTE)
    (folder / "jwks.json").write_text(json.dumps({"keys": [public_half(key)]}))
    (folder / "cogward.yaml").write_text(json.dumps({
        "listeners": [{"address": f"127.0.0.1:{port}"}], "admin": {"address": f"127.0.0.1:{admin}"}, "threads": 1,
        "identity": {"providers": [{"id": "main", "oidc": {
            "issuer": ISSUER, "audiences": ["api"], "roles_claim": "groups", "jwks": {"file": "jwks.json"}}}]},
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{upstream}"]}],
        "policies": {"path": "policies"}, "audit": {"destination": {"file": "audit.log"}}, "shutdown_delay": "0s",
    }))
    return port, admin


def instructions(binary, folder, port, admin, token, requests):
    counted = subprocess.Popen(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind", binary, "serve", "--config", f"{folder}/cogward.yaml"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for("the gateway", lambda: accepts(admin) and ask(admin, "GET", "/readyz")[0] == 200, 120)
    told = subprocess.run(
        ["h2load", "--h1", "-n", str(requests), "-c", "4", "-t", "1", "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}/things/1"],
        capture_output=True, text=True).stdout
    assert f"{requests} succeeded" in told, told
    counted.send_signal(signal.SIGTERM)
    return int(re.search(r"Collected : (\d+)", counted.communicate(timeout=60)[1])[1])


def main():
    key, now = new_key("k1"), int(time.time())
    token = sign({"iss": ISSUER, "aud": "api", "sub": "u-1", "groups": ["user"], "iat": now, "exp": now + 3600}, key)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "nginx").mkdir()
        with Nginx(folder / "nginx") as nginx:
            port, admin = house(folder, nginx.port, key)
            per_request = {}
            for name, binary in zip(("before", "after"), map(os.path.abspath, sys.argv[1:3])):
                few, many = (instructions(binary, folder, port, admin, token, count) for count in (FEW, MANY))
                per_request[name] = (many - few) / (MANY - FEW)
                print(f"{name}: {per_request[name]:,.0f} instructions a request", flush=True)
    print(f"after / before: {per_request['after'] / per_request['before']:.3f}")


main()
