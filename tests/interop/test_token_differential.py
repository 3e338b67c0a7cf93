"""Thousands of changed tokens, put to the gateway and to two libraries: what the gateway takes, they take."""

import base64
import collections
import http.client
import json
import random
import time
import warnings

import jwt as pyjwt
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import RSAKey

from policies import ONE_ROUTE
from support import FULL, KeyServer, new_key
from test_keys import CLIENT, POOL, settings

TOKENS = 100_000 if FULL else 2_000
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).decode().rstrip("=")


class Maker:
    """Draws tokens: good ones, changed after signing, and changed before."""

    def __init__(self, key, seed):
        self.key, self.random = key, random.Random(seed)
        self.private = RSAKey.import_key(key).private_key
        self.others = [RSAKey.import_key(new_key("other")).private_key]

    def claims(self):
        now = int(time.time())
        return {
            "iss": f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}", "sub": "u-1", "username": "u-1",
            "client_id": CLIENT, "token_use": "access", "cognito:groups": ["user"],
            "iat": now - 60, "exp": now + 3600, "jti": str(self.random.random()),
        }

    def sign(self, head, payload, algorithm="RS256", private=None):
        message = f"{b64(head)}.{b64(payload)}".encode()
        private = private or self.private
        if algorithm.startswith("HS"):
            secret = self.random.choice([b"", self.key["n"].encode(), json.dumps(self.key["n"]).encode()])
            mac = hmac.HMAC(secret, hashes.SHA256())
            mac.update(message)
            signature = mac.finalize()
        else:
            digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[algorithm[2:]]()
            pad = padding.PKCS1v15() if algorithm.startswith("RS") else padding.PSS(padding.MGF1(digest), digest.digest_size)
            signature = private.sign(message, pad, digest)
        return f"{message.decode()}.{b64(signature)}"

    def draw(self):
        head, claims = {"alg": "RS256", "kid": self.key["kid"]}, self.claims()
        kind = self.random.choice([self.as_it_is, self.spelled, self.headed, self.timed, self.written, self.cut, self.cut, self.forged])
        return kind.__name__, kind(head, claims)

    def as_it_is(self, head, claims):
        return self.sign(json.dumps(head), json.dumps(claims))

    def spelled(self, head, claims):
        """JSON that means the same, or looks as if."""
        text = lambda value: self.random.choice([
            json.dumps(value), json.dumps(value, separators=(",", ":")), json.dumps(value, indent=2), " " + json.dumps(value) + "\n",
            "\ufeff" + json.dumps(value), json.dumps(value) + "x", json.dumps(value)[:-1], json.dumps(value).replace('"', "'"),
            json.dumps(value)[:-1] + ',"sub":"u-1"}', json.dumps(value)[:-1] + ',"exp":99999999999}',
            json.dumps(value)[:-1] + ',"\\u0065xp":1}', "[" + json.dumps(value) + "]", json.dumps(json.dumps(value)),
            json.dumps(value)[:-1] + ',"x":NaN}', json.dumps(value)[:-1] + ',"x":1e999}', json.dumps(value)[:-1] + ',}',
        ])
        return self.sign(text(head) if self.random.random() < 0.3 else json.dumps(head), text(claims))

    def headed(self, head, claims):
        algorithm = self.random.choice(["RS256", "RS256", "RS384", "RS512", "PS256", "PS512", "HS256"])
        head["alg"] = self.random.choice([algorithm, "RS256", "none", "None", "rs256", "", None, ["RS256"], "ES256"])
        more = self.random.choice([
            {}, {"typ": "JWT"}, {"typ": "at+jwt"}, {"typ": "jwt"}, {"typ": 1}, {"cty": "JWT"}, {"crit": ["exp"]}, {"crit": []},
            {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}, {"enc": "A128GCM"}, {"jku": "https://e.example"}, {"x": 1},
            {"kid": None}, {"kid": 7}, {"kid": ""}, {"kid": self.key["kid"].upper()}, {"jwk": {"kty": "RSA"}},
        ])
        head |= more
        return self.sign(json.dumps(head), json.dumps(claims), algorithm)

    def timed(self, head, claims):
        now = int(time.time())
        moment = lambda: self.random.choice([
            now - 3600, now - 120, now + 600, now + 7200, now + 90_000, float(now + 600), now + 600.5, str(now + 600), None, True, [now + 600],
            0, -1, 1 << 62, 1 << 64, 253402300799, 1e300, {},
        ])
        for name in self.random.sample(["exp", "nbf", "iat"], self.random.randint(1, 2)):
            claims[name] = moment()
            if self.random.random() < 0.1:
                del claims[name]
        return self.sign(json.dumps(head), json.dumps(claims))

    def written(self, head, claims):
        """One character of the text is another."""
        return self.swap(self.as_it_is(head, claims), ALPHABET + "=.+/ \"'%")

    def swap(self, token, characters):
        at = self.random.randrange(len(token))
        return token[:at] + self.random.choice(characters) + token[at + 1:]

    def cut(self, head, claims):
        token = self.as_it_is(head, claims)
        a, b, c = token.split(".")
        at = self.random.randrange(len(token))
        return self.random.choice([
            token[:at], token[at:], token[:at] + token[at + 1:], token + "=", token + "==", token + "A", token + ".", "." + token, token + "%20",
            f"{a}.{b}", f"{a}.{b}.", f"{a}..{c}", f".{b}.{c}", f"{b}.{a}.{c}", f"{a}.{b}.{b}", f"{a}.{b}.{c}.{c}", f"{a}={'.'}{b}.{c}",
            token.replace("-", "+").replace("_", "/"), token[:-1] + ALPHABET[(ALPHABET.index(token[-1]) + 1) % 64],
            f"{a}.{b}.{b64(b'x' * 256)}", f"{a}.{b}.{b64(bytes(256))}", token[:at] + token[at].swapcase() + token[at + 1:],
        ])

    def forged(self, head, claims):
        return self.sign(json.dumps(head), json.dumps(claims), private=self.others[0])


def takes(library):
    """Does the library take signature and times? Whatever it throws is a refusal."""
    try:
        library()
        return True
    except Exception:
        return False


def test_two_libraries_take_whatever_the_gateway_takes(gateway, recorder):
    server = KeyServer(new_key("first"))
    try:
        key = server.keys[0]
        things = gateway(settings(server.url, recorder), {"things.yaml": ONE_ROUTE})
        public = RSAKey.import_key({name: key[name] for name in ("kty", "n", "e")})
        maker, counts, kinds = Maker(key, 7), collections.Counter(), collections.Counter()
        registry = joserfc_jwt.JWTClaimsRegistry(leeway=5, exp={"essential": True}, iat={"essential": True})

        def by_joserfc(token):
            decoded = joserfc_jwt.decode(token, public, algorithms=["RS256"])
            registry.validate(decoded.claims)

        def by_pyjwt(token):
            pyjwt.decode(token, public.public_key, algorithms=["RS256"], leeway=5,
                         options={"require": ["exp", "iat"], "verify_aud": False})

        warnings.simplefilter("ignore")
        connection = http.client.HTTPConnection("127.0.0.1", things.port, timeout=15)
        for _ in range(TOKENS):
            kind, token = maker.draw()
            connection.request("GET", "/things/1", headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            response.read()
            assert response.status in (200, 401), (kind, token, response.status)
            ours = response.status == 200
            theirs = takes(lambda: by_joserfc(token)), takes(lambda: by_pyjwt(token))
            assert any(theirs) or not ours, f"only the gateway takes this ({kind}): {token}"
            counts[ours, *theirs] += 1
            if all(theirs) and not ours:
                kinds[kind] += 1
        connection.close()
        named = {f"gateway {'takes' if ours else 'refuses'}, {sum(theirs)} of 2 take": 0 for ours, *theirs in counts}
        for (ours, *theirs), count in counts.items():
            named[f"gateway {'takes' if ours else 'refuses'}, {sum(theirs)} of 2 take"] += count
        print(f"\n{TOKENS} tokens: {named}; both take and the gateway is stricter: {dict(kinds)}")
        assert counts[True, True, True] > TOKENS / 20 and counts[False, False, False] > TOKENS / 5
    finally:
        server.close()
