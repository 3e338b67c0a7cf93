"""Every verdict in tests/data/cerbos_expressions.txt is that of the real Cerbos: the unit tests hold the checker to the same file."""

import json

import pytest

from cerbos_engines import Cerbos
from support import ROOT

# What the playground takes at once.
MOST_FILES = 30

ROWS = [
    line.split(maxsplit=1)
    for line in (ROOT / "tests/data/cerbos_expressions.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def policy(number, expression):
    rule = {"actions": ["a"], "roles": ["*"], "effect": "EFFECT_ALLOW", "condition": {"match": {"expr": expression}}}
    return json.dumps({
        "apiVersion": "api.cerbos.dev/v1",
        "resourcePolicy": {
            "resource": f"r{number}",
            "version": "default",
            "variables": {"local": {"v": '"1"'}},
            "constants": {"local": {"c": 1}},
            "rules": [rule],
        },
    })


@pytest.fixture(scope="module")
def cerbos(tmp_path_factory):
    engine = Cerbos(tmp_path_factory.mktemp("cerbos"))
    assert engine.load({}) is None
    yield engine
    engine.stop()


def test_cerbos_compiles_what_the_table_says_and_nothing_else(cerbos):
    files = [(f"p{number}.json", policy(number, expression)) for number, (_, expression) in enumerate(ROWS)]
    faults = {}
    for start in range(0, len(files), MOST_FILES):
        faults |= cerbos.faults(dict(files[start : start + MOST_FILES]))
    wrong = [
        f"{verdict} {expression}: {faults.get(f'p{number}.json')}"
        for number, (verdict, expression) in enumerate(ROWS)
        if (verdict == "ok") == (f"p{number}.json" in faults)
    ]
    assert not wrong, "\n".join(wrong)
    assert len(ROWS) > 600 and len(faults) > 300
