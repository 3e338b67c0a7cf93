"""The shipped policies, and a few small ones."""

from support import ROOT

CONTACTS = {name: (ROOT / "policies" / name).read_text() for name in ("contacts.yaml", "contact.resource.yaml")}

ONE_ROUTE = """\
apiVersion: cogward/v1
routes:
  - id: things
    path: /things/{id}
    rules:
      - { id: users, roles: [user] }
"""
