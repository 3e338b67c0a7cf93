"""An issuer that is nothing but a key: tokens are signed here, and the gateway has the public half in a file."""

import json
import time

from support import new_key, public_half, sign

POOL, CLIENT = "eu-west-1_KeYfIlE01", "app"


class Issuer:
    def __init__(self, folder):
        self.key, self.file = new_key("only"), folder / "keys.json"
        self.file.write_text(json.dumps({"keys": [public_half(self.key)]}))
        self.settings = {"identity": {"providers": [{"id": "main", "cognito": {"user_pool_id": POOL, "client_ids": [CLIENT]},
                                                     "jwks": {"file": str(self.file)}}]}}

    def token(self, subject, groups=()):
        now = int(time.time())
        return sign({"iss": f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}", "sub": subject, "username": subject, "client_id": CLIENT,
                     "token_use": "access", "cognito:groups": list(groups), "iat": now, "exp": now + 3600}, self.key)
