"""What people write who follow a tutorial: `requests`, `redis` with `setex`, a decorator that sets `g.ip_risk`."""

import functools
import json

import redis
import requests
from flask import g, jsonify, request

TIMEOUT = 3


class Tutorial:
    def __init__(self, endpoint, redis_url, ttl=300):
        self.url = f"{endpoint}/v3/security"
        self.cache = redis.Redis.from_url(redis_url)
        self.ttl = ttl

    def look(self, ip):
        key = f"ip-risk:{ip}"
        cached = self.cache.get(key)
        if cached:
            return to_risk(json.loads(cached))
        try:
            response = requests.get(self.url, params={"apiKey": "benchmark", "ip": ip}, timeout=TIMEOUT)
            response.raise_for_status()
            security = response.json()["security"]
        except (requests.RequestException, ValueError, KeyError):
            return {"score": 0, "flags": {}, "failed_open": True}
        self.cache.setex(key, self.ttl, json.dumps(security))
        return to_risk(security)

    def check_ip_risk(self, view):
        @functools.wraps(view)
        def judged(*arguments, **named):
            g.ip_risk = self.look(request.remote_addr)
            if g.ip_risk["score"] >= 80:
                return jsonify(error="Request blocked"), 403
            g.require_mfa = g.ip_risk["score"] >= 45
            return view(*arguments, **named)

        return judged


def to_risk(security):
    names = ("is_vpn", "is_proxy", "is_residential_proxy", "is_tor")
    flags = {name: security.get(name) for name in names}
    return {"score": security["threat_score"], "flags": flags, "failed_open": False}
