"""The example for Flask, as it stands."""

import importlib.util
from pathlib import Path

import pytest

from support.servers import serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "flask-login"
PASSWORD = "correct horse"
CODE = "123456"
# An access network, of which neither the stand-in nor the feeds in the package know anything bad.
CLEAN = "91.128.103.196"


@pytest.fixture
def post(make):
    """Sends a form from an address that a proxy wrote down."""
    spec = importlib.util.spec_from_file_location("flask_login", EXAMPLE / "app.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    client = example.create_app(make()).test_client()

    def send(path, address, **form):
        answer = client.post(path, json=form, headers={"X-Forwarded-For": address})
        return answer.status_code, answer.json

    return send


def test_a_login_is_let_through_stepped_up_or_blocked(post, api):
    api.answer("8.8.4.4", threat_score=50)
    api.answer("1.0.0.1", threat_score=95)
    assert post("/login", CLEAN, password=PASSWORD) == (200, {"ok": True, "score": 0})
    assert post("/login", CLEAN, password="wrong") == (401, {"error": "wrong password"})
    assert post("/login", "8.8.4.4", password=PASSWORD) == (401, {"error": "second factor required"})
    assert post("/login", "8.8.4.4", password=PASSWORD, code=CODE) == (200, {"ok": True, "score": 50})
    assert post("/login", "1.0.0.1", password=PASSWORD) == (403, {"error": "Request blocked"})


def test_a_payment_waits_for_a_person_when_the_provider_fails(post, api):
    assert post("/pay", CLEAN) == (200, {"paid": True})
    api.fault(status=500)
    assert post("/pay", "91.128.103.197") == (202, {"paid": False, "review": True})


def test_it_starts_as_it_says():
    # The provider is behind a proxy that is not there.
    env = {"IPGEO_API_KEY": "any", "HTTPS_PROXY": "http://127.0.0.1:1"}
    with serving("gunicorn", "--chdir", str(EXAMPLE), "app:create_app()", env=env) as client:
        headers = {"X-Forwarded-For": CLEAN}
        assert client.post("/login", json={"password": PASSWORD}, headers=headers).json() == {"ok": True, "score": 0}
        assert client.post("/pay", headers=headers).status_code == 202
