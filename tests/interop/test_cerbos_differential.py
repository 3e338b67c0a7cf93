"""Folders of Cerbos policies and requests, drawn by chance: the real Cerbos 0.51.0 and Cogward decide alike.

COGWARD_SEED=... draws others; COGWARD_CASE=number looks at one case alone."""

import collections
import os
import time
from pathlib import Path

import pytest
import yaml

from cerbos_cases import Case, Cases
from cerbos_differences import compare, shrink
from cerbos_engines import Cerbos, Cogward
from support import FULL

SEED = os.environ.get("COGWARD_SEED", "1")
DECISIONS = 100_000 if FULL else 6_000
BROKEN = 600 if FULL else 40
# What a server is set to: JSON schemas, and whether a scope must be there.
SETTINGS = [("none", False), ("warn", False), ("reject", True)]


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda settings: f"{settings[0]}{'-lenient' if settings[1] else ''}")
def engines(request, tmp_path_factory):
    made = [kind(tmp_path_factory.mktemp(kind.name), *request.param) for kind in (Cerbos, Cogward)]
    yield made
    for one in made:
        one.stop()


def report(differences, engines):
    """Each difference as the smallest case that shows it, the first of each sort."""
    shown = {}
    for one in differences:
        small = shrink(one, *engines)
        shown.setdefault((small.key and small.key[2], small.theirs, small.ours), small)
        if len(shown) == 3:
            break
    return "\n\n".join(f"{one}\n{one.case.show()}" for one in shown.values())


def is_decisive(key):
    """Effects, and whether a folder loads, are never different. Names of policies and outputs are counted; the full form holds them, too."""
    return FULL or key is None or key[2] == "effect"


def test_folders_drawn_by_chance_are_decided_alike(engines, request):
    share = DECISIONS // len(SETTINGS) + 1
    # Settings see cases of their own.
    seed = f"{SEED}/{request.node.callspec.id}"
    compared, loaded, number, started, beside = 0, 0, 0, time.monotonic(), collections.Counter()
    only = os.environ.get("COGWARD_CASE")
    while compared < share:
        case = Cases(seed, int(only) if only else number).draw()
        decisions, differences = compare(case, *engines, decisive=is_decisive)
        decisive = [one for one in differences if is_decisive(one.key)]
        assert not decisive, f"seed {seed}, case {number}:\n{report(decisive, engines)}"
        beside.update(one.key[2] for one in differences)
        compared, loaded, number = compared + decisions, loaded + (decisions > 0), number + 1
        if only:
            break
    print(f"\nseed {seed}: {compared} decisions about {number} folders, {loaded} of which load, in {time.monotonic() - started:.0f} s: no effect differs; beside effects: {dict(beside) or 'nothing'}")
    assert only or loaded > 0.9 * number - 2


@pytest.mark.parametrize("engines", SETTINGS[:1], indirect=True, ids=["none"])
def test_broken_folders_are_refused_alike(engines):
    # What loads does not depend on the other settings, but for schemas.
    cerbos, ours = engines
    counts, wrong = collections.Counter(), []
    for number in range(BROKEN):
        what, case = Cases(f"{SEED}/broken", number).broken()
        case.requests = []
        files = case.files()
        refusal = ours.load(files)
        if cerbos.process is None:
            cerbos.load({})
        refused = bool(cerbos.faults(files))
        if refused != (refusal is not None):
            # The quick answer is that of a server that looks at all schemas.
            refused = cerbos.load(files) is not None
        counts[what] += 1
        if refused != (refusal is not None):
            wrong.append(f"seed {SEED}/broken, case {number}: {what}: Cerbos {'refuses it' if refused else 'loads it'}, Cogward {'refuses it: ' + refusal if refusal else 'loads it'}\n{case.show()}")
    print(f"\nseed {SEED}: {BROKEN} folders that are broken in {len(counts)} ways")
    assert not wrong, f"{len(wrong)} of {BROKEN}\n" + "\n\n".join(wrong[:3])


FOUND = sorted((Path(__file__).parent / "cerbos_cases").glob("*.yaml"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_once_decided_differently_is_decided_alike(engines, path):
    rows = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert rows
    for row in rows:
        if row.get("settings", "none") != engines[0].settings["schema"]["enforcement"]:
            continue
        documents = {name: document if name.startswith("_") else {"apiVersion": "api.cerbos.dev/v1"} | document for name, document in row["files"].items()}
        requests = [{"requestId": "r", "includeMeta": True} | request for request in row["requests"]]
        compared, differences = compare(Case(row["about"], documents, requests), *engines)
        assert not differences, "\n".join(map(str, differences))
        assert compared or row.get("refused"), row["about"]
