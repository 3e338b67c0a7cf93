"""A thousand reloads under load: no request fails, none is wrongly decided."""

import os
import threading

from policies import ONE_ROUTE
from support import ask, wait_for

OTHER = ONE_ROUTE.replace("roles: [user]", "roles: [admin]")
BROKEN = ONE_ROUTE.replace("roles:", "rolls:")


def test_a_thousand_reloads_under_load(gateway, recorder, moto):
    things = gateway({
        "identity": {"providers": [moto.provider()]},
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
        "policies": {"path": "policies", "poll": "1s"},
    }, {"things.yaml": ONE_ROUTE})
    always, never = moto.sign_in("carol")[0], moto.sign_in("dave")[0]
    sometimes = moto.sign_in("bob")[0]
    answers, wrong, stop = [0] * 4, [], threading.Event()

    def send(index):
        expected = {always: {200}, never: {403}, sometimes: {200, 403}}
        while not stop.is_set():
            for token, statuses in expected.items():
                try:
                    status = things.ask("GET", "/things/1", token)[0]
                except OSError as error:
                    status = repr(error)
                if status not in statuses:
                    wrong.append(status)
                answers[index] += 1

    senders = [threading.Thread(target=send, args=(index,)) for index in range(4)]
    for sender in senders:
        sender.start()
    policy = things.folder / "policies" / "things.yaml"
    try:
        for turn in range(1000):
            text = (OTHER, BROKEN, ONE_ROUTE, "routes: [")[turn % 4] + f"# {turn}\n"
            aside = policy.with_suffix(".tmp")
            aside.write_text(text)
            os.replace(aside, policy)
            if turn % 100 == 0:
                things.alive()
        policy.write_text(OTHER)
        wait_for("the last file", lambda: things.ask("GET", "/things/1", sometimes)[0] == 403)
        policy.write_text(ONE_ROUTE)
        wait_for("the first file again", lambda: things.ask("GET", "/things/1", sometimes)[0] == 200)
    finally:
        stop.set()
        for sender in senders:
            sender.join()
    recorder.take()
    print(f"\nreloads: {sum(answers)} requests, {things.status()['generation']} generations, {len(wrong)} wrong")
    assert wrong == [] and min(answers) > 0


def test_a_broken_file_changes_no_decision_and_is_told(gateway, recorder, moto):
    things = gateway({
        "identity": {"providers": [moto.provider()]},
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
    }, {"things.yaml": ONE_ROUTE})
    token = moto.sign_in("bob")[0]
    before = things.status()["generation"]
    (things.folder / "policies" / "things.yaml").write_text(BROKEN)
    wait_for("the rejection", lambda: things.metric("cogward_reloads_total", result="rejected") >= 1)
    assert things.ask("GET", "/things/1", token)[0] == 200
    status = things.status()
    assert status["generation"] == before
    text = str(status)
    assert "rolls" in text and "things.yaml" in text
    assert ask(things.admin, "GET", "/readyz")[0] == 200


def test_settings_reload_and_a_changed_listener_asks_for_a_restart(gateway, recorder, moto):
    things = gateway({
        "identity": {"providers": [moto.provider()]},
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
    }, {"things.yaml": ONE_ROUTE})
    token = moto.sign_in("bob")[0]
    recorder.take()
    things.settings["identity_headers"] = {"X-Who": "id"}
    things.settings["listeners"] = [{"address": "127.0.0.1:1"}]
    before = things.status()["generation"]
    things.write_settings()
    wait_for("the new settings", lambda: things.status()["generation"] > before)
    assert things.ask("GET", "/things/1", token)[0] == 200
    [(_, _, fields, _)] = recorder.take()
    assert "x-who" in dict(fields) and "x-auth-request-user" not in dict(fields)
    assert "restart" in (things.folder / "gateway.log").read_text()
