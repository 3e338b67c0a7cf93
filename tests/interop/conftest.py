import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from issuer import Issuer  # noqa: E402
from support import Gateway, Moto, Recorder  # noqa: E402


@pytest.fixture(scope="session")
def moto():
    moto = Moto()
    moto.new_user("alice", ["admin"])
    moto.new_user("bob", ["user"])
    moto.new_user("carol", ["admin", "user"])
    moto.new_user("dave")
    yield moto
    moto.close()


@pytest.fixture(scope="module")
def recorder():
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture
def gateway(tmp_path_factory):
    """Makes gateways, and stops them."""
    made = []

    def make(settings, policies=None, ready=True):
        made.append(Gateway(tmp_path_factory.mktemp("gateway"), settings, policies))
        return made[-1].start(ready)

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def issuer_file(tmp_path_factory):
    return Issuer(tmp_path_factory.mktemp("issuer"))
