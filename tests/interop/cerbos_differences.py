"""Compares what two engines say about a case, and cuts a difference down to a small one."""

import copy
import json
import math

from cerbos_cases import Case
from cerbos_expressions import Expression


def plain(value):
    """One text for each JSON value: a number is the same however it is written, and `true` is not 1."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        # Beyond 2^53 a number is only what a double makes of its digits.
        return int(float(value)) if math.isfinite(value) and value == int(value) else value
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()}


def text(value):
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False)


def facts(request, answer):
    """The answer as small facts, each of which is compared by itself: {(resource, action or "", what): text}."""
    status, body = answer
    if status != 200:
        return {(-1, "", "status"): str(status), (-1, "", "error"): text(body.get("message") if isinstance(body, dict) else None)}
    told = {(-1, "", "status"): "200"}
    for at, (asked, result) in enumerate(zip(request["resources"], body.get("results", []), strict=True)):
        meta = result.get("meta", {})
        told[at, "", "resource"] = text(result.get("resource"))
        told[at, "", "derived roles"] = text(sorted(meta.get("effectiveDerivedRoles", [])))
        told[at, "", "validation"] = text(sorted((one.get("source"), one.get("path", ""), one.get("message")) for one in result.get("validationErrors", [])))
        told[at, "", "actions"] = text(sorted(result.get("actions", {})))
        for action in asked["actions"]:
            how = meta.get("actions", {}).get(action, {})
            told[at, action, "effect"] = result.get("actions", {}).get(action)
            told[at, action, "policy"] = how.get("matchedPolicy")
            told[at, action, "scope"] = how.get("matchedScope", "")
            # Rules run in no certain order, and once for each role that they are asked about.
            told[at, action, "outputs"] = text(sorted({text([one["src"], one.get("val", "(none)")]) for one in result.get("outputs", []) if one.get("action") == action}))
    return told


class Difference:
    def __init__(self, case, request, key, ours, theirs):
        self.case, self.request, self.key, self.ours, self.theirs = case, request, key, ours, theirs

    def __str__(self):
        what = self.key[2] if self.key else "loading"
        return f"{self.case.name}: {what}: Cerbos: {self.theirs}\n    Cogward: {self.ours}"

    def small(self):
        """The case with nothing in it but what this is about."""
        if self.request is None:
            return Case(self.case.name, self.case.documents, [])
        at, action, _ = self.key
        request = copy.deepcopy(self.request)
        if at >= 0:
            request["resources"] = [request["resources"][at]]
            if action:
                request["resources"][0]["actions"] = [action]
        return Case(self.case.name, self.case.documents, [request])


def compare(case, cerbos, ours, again=40, decisive=lambda difference: True):
    """Decisions that were compared, and what differs. Cerbos is asked again before it is said to differ in what is decisive: some of its answers
    depend on the order of a Go map."""
    files = case.files()
    refusals = cerbos.load(files), ours.load(files)
    if (refusals[0] is None) != (refusals[1] is None):
        return 0, [Difference(case, None, None, refusals[1] or "loads", refusals[0] or "loads")]
    if refusals[0] is not None:
        return 0, []
    compared, found = 0, []
    for request in case.requests:
        theirs, answer = facts(request, cerbos.check(request)), facts(request, ours.check(request))
        if theirs[-1, "", "status"] == "500" and "google.protobuf.Value.number_value" in theirs[-1, "", "error"]:
            # What a rule puts out is no JSON number: Cerbos then answers nothing at all.
            continue
        compared += sum(len(one["actions"]) for one in request["resources"])
        differing = [key for key in theirs if answer.get(key) != theirs[key]]
        if any(decisive(key) for key in differing):
            seen = {key: {theirs[key]} for key in differing}
            for turn in range(again):
                if turn == again // 2:
                    cerbos.load(files)
                once_more = facts(request, cerbos.check(request))
                for key in differing:
                    seen[key].add(once_more.get(key))
            differing = [key for key in differing if answer.get(key) not in seen[key]]
        found += [Difference(case, request, key, answer.get(key), theirs[key]) for key in differing]
    return compared, found


def without(document, path):
    """The document less what is at this path."""
    made = copy.copy(document)
    if len(path) == 1:
        del made[path[0]]
    else:
        made[path[0]] = without(document[path[0]], path[1:])
    return made


def replaced(document, path, value):
    if not path:
        return value
    made = copy.copy(document)
    made[path[0]] = replaced(document[path[0]], path[1:], value)
    return made


def places(document, path=()):
    """Every path in the document, from the outside in."""
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in list(items):
        yield (*path, key), value
        yield from places(value, (*path, key))


def candidates(case):
    """Cases with less in them, those that lack the most first."""
    for name in case.documents:
        yield Case(case.name, {other: one for other, one in case.documents.items() if other != name}, case.requests)
    for name, document in case.documents.items():
        for path, value in places(document):
            if isinstance(path[-1], int) or len(path) > 1 or path[-1] in ("metadata", "description", "disabled"):
                yield Case(case.name, case.documents | {name: without(document, path)}, case.requests)
            if isinstance(value, dict) and any(which in value for which in ("all", "any", "none")):
                for inner in next(iter(value.values()))["of"]:
                    yield Case(case.name, case.documents | {name: replaced(document, path, inner)}, case.requests)
            if isinstance(value, Expression):
                for less in value.smaller():
                    yield Case(case.name, case.documents | {name: replaced(document, path, less)}, case.requests)
    for at, request in enumerate(case.requests):
        for path, _ in places(request):
            if path[-1] in ("requestId", "includeMeta", "id", "kind", "roles", "resources", "resource", "principal", "actions"):
                continue
            try:
                yield Case(case.name, case.documents, [*case.requests[:at], without(request, path), *case.requests[at + 1:]])
            except (KeyError, IndexError):
                continue


def size(case):
    return len(text(case.documents)) + len(text(case.requests))


def shrink(difference, cerbos, ours, patience=400):
    """The smallest case that was found in so many attempts, in which the same kind of fact still differs."""
    what = difference.key[2] if difference.key else None

    def differs(case):
        _, found = compare(case, cerbos, ours, again=24)
        return next((one for one in found if (one.key[2] if one.key else None) == what), None)

    best = differs(difference.small())
    if best is None:
        return difference
    while patience > 0:
        for smaller in candidates(best.case):
            if size(smaller) >= size(best.case):
                continue
            patience -= 1
            if (better := differs(smaller)) is not None:
                best = better
                break
            if patience <= 0:
                break
        else:
            break
    return best
