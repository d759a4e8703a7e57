"""A FastAPI application as users write it."""

import os

from fastapi import FastAPI, Request, WebSocket

from ip_risk import AsyncRiskChecker, RiskMiddleware

checker = AsyncRiskChecker(endpoint=os.environ["ENDPOINT"], api_key="test-key", deadline=20, connect_timeout=20)
app = FastAPI()
app.add_middleware(RiskMiddleware.prepared(checker=checker, paths=["/login", "/socket"]))


@app.post("/login")
async def login(request: Request):
    state = request.state
    return {"mfa": state.require_mfa, "risk": state.ip_risk}


@app.get("/free")
async def free(request: Request):
    return {"judged": hasattr(request.state, "ip_risk")}


@app.websocket("/socket")
async def socket(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_json(websocket.state.ip_risk["action"])
    await websocket.close()
