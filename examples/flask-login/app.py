"""A login and a payment route in Flask: IPGEO_API_KEY=... gunicorn --chdir examples/flask-login 'app:create_app()'."""

from flask import Flask, g, jsonify, request
from ip_risk import PASS, RiskChecker, check_ip_risk
from werkzeug.middleware.proxy_fix import ProxyFix

# Stands for your own users, and for the code that you send to their phones.
PASSWORD = "correct horse"
CODE = "123456"


def create_app(checker=None):
    """Make the app; without a checker, one that reads the environment."""
    checker = checker or RiskChecker()
    app = Flask(__name__)
    # As many as there are proxies of your own; without one, leave it out: any client could choose its address.
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)

    @app.post("/login")
    @check_ip_risk(checker=checker)
    def login():
        form = request.get_json(silent=True) or {}
        if form.get("password") != PASSWORD:
            return jsonify(error="wrong password"), 401
        if needs_code(form):
            return jsonify(error="second factor required"), 401
        return jsonify(ok=True, score=g.ip_risk["score"])

    @app.post("/pay")
    @check_ip_risk(checker=checker, policy="payment", on_hold=lambda decision, request: PASS)
    def pay():
        if g.hold_for_review:
            return jsonify(paid=False, review=True), 202
        if needs_code(request.get_json(silent=True) or {}):
            return jsonify(error="second factor required"), 401
        return jsonify(paid=True)

    return app


def needs_code(form):
    """Say whether the gate challenged the request, and no code came along."""
    return getattr(g, "require_mfa", False) and form.get("code") != CODE
