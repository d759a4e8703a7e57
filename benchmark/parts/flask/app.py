"""The application that gunicorn serves, with the gate that `SIDE` names."""

import os

from flask import Flask, abort, g
from sides import DECORATORS
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)


@app.post("/login")
@DECORATORS[os.environ["SIDE"]]()
def login():
    """Do what a login handler does with what the gate says, before it looks at the password."""
    risk = g.get("ip_risk") or {"score": 0, "flags": {}}
    # A measurement of addresses that were not looked up would be none.
    if risk.get("failed_open") or risk.get("failure"):
        abort(500)
    is_vpn = risk["flags"].get("is_vpn") is True
    return {"ok": True, "score": risk["score"], "isVpn": is_vpn, "mfa": g.get("require_mfa", False)}
