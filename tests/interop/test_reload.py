"""A thousand reloads under load: no request fails, none is wrongly decided."""

import http.client
import os
import threading

from policies import ONE_ROUTE
from support import ask, wait_for

OTHER = ONE_ROUTE.replace("roles: [user]", "roles: [admin]")
BROKEN = ONE_ROUTE.replace("roles:", "rolls:")


class Senders:
    """Four connections that keep sending, and count what is not as it should be."""

    def __init__(self, port, expected):
        self.port, self.expected = port, expected
        self.answers, self.wrong, self.stop = [0] * 4, [], threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(index,)) for index in range(4)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def send(self, index):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stop.is_set():
            for token, statuses in self.expected.items():
                try:
                    connection.request("GET", "/things/1", headers={"Authorization": f"Bearer {token}"})
                    response = connection.getresponse()
                    response.read()
                    status = response.status
                except (OSError, http.client.HTTPException) as error:
                    status = repr(error)
                    connection.close()
                if status not in statuses:
                    self.wrong.append(status)
                self.answers[index] += 1
        connection.close()


def test_a_thousand_reloads_under_load(gateway, recorder, moto):
    things = gateway({
        "identity": {"providers": [moto.provider()]},
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
    }, {"things.yaml": ONE_ROUTE})
    always, sometimes, never = (moto.sign_in(who)[0] for who in ("carol", "bob", "dave"))
    policy = things.folder / "policies" / "things.yaml"
    done = lambda result: things.metric("cogward_reloads_total", result=result)
    applied, rejected = done("applied"), done("rejected")
    with Senders(things.port, {always: {200}, sometimes: {200, 403}, never: {403}}) as senders:
        for turn in range(1000):
            text, is_good, status = ((OTHER, True, 403), (BROKEN, False, 403), (ONE_ROUTE, True, 200), ("routes: [", False, 200))[turn % 4]
            aside = policy.with_suffix(".tmp")
            aside.write_text(f"{text}# {turn}\n")
            os.replace(aside, policy)
            applied, rejected = applied + is_good, rejected + (not is_good)
            wait_for(f"reload {turn}", lambda: (done("applied"), done("rejected")) == (applied, rejected))
            assert things.ask("GET", "/things/1", sometimes)[0] == status, turn
    recorder.take()
    print(f"\nreloads: 1000, {sum(senders.answers)} requests meanwhile, {len(senders.wrong)} failed or wrongly decided")
    assert senders.wrong == [] and min(senders.answers) > 1000


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
