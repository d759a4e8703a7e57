"""A Flask application as users write it, with the tutorial's handler."""

import os

from flask import Flask, g, jsonify
from werkzeug.middleware.proxy_fix import ProxyFix

from ip_risk import PASS, RiskChecker, RiskGate, check_ip_risk

checker = RiskChecker(
    endpoint=os.environ["ENDPOINT"], api_key="test-key", deadline=20, connect_timeout=20, redis=os.environ.get("REDIS")
)
app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)


@app.route("/api/login", methods=["POST"])
@check_ip_risk(checker=checker)
def login():
    risk = g.ip_risk
    if getattr(g, "require_mfa", False):
        return jsonify(step="mfa", score=risk["score"], ip=risk.get("ip"))
    return jsonify(step="welcome", score=risk["score"], flags=risk["flags"], failed_open=risk["failed_open"])


@app.post("/pay")
@check_ip_risk(checker=checker, policy="payment", on_hold=lambda decision, request: PASS)
def pay():
    return jsonify(held=g.hold_for_review)


@app.get("/process")
def process():
    return jsonify(process=os.getpid(), source=checker.check("8.8.8.8")["source"])


health = Flask("everything")
RiskGate(health, checker=checker)


@health.get("/")
def everything():
    return jsonify(g.ip_risk)
