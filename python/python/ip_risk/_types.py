"""What decisions, counts and options are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

Action = Literal["allow", "log", "challenge", "block", "hold"]
RisingAction = Literal["allow", "log", "challenge", "block"]
Band = Literal["low", "guarded", "elevated", "high"]
Source = Literal["memory", "redis", "api", "feeds", "list", "special", "none"]
Mode = Literal["enforce", "log-only"]
Provenance = Literal["application", "socket", "trusted-proxy", "custom", "unverified"]
FailureMode = Literal["open", "challenge", "closed"]


class Flags(TypedDict, total=False):
    """What a source says of an address, in the field names of the Security API. Absent means that it cannot tell."""

    threat_score: int
    is_tor: bool
    is_proxy: bool
    proxy_provider_names: list[str]
    proxy_confidence_score: int
    proxy_last_seen: str
    is_residential_proxy: bool
    is_vpn: bool
    vpn_provider_names: list[str]
    vpn_confidence_score: int
    vpn_last_seen: str
    is_relay: bool
    relay_provider_name: str
    is_anonymous: bool
    is_known_attacker: bool
    is_bot: bool
    bot_confidence_score: int
    bot_operator_name: str
    bot_type: str
    is_known_good_bot: bool
    bot_last_seen: str
    is_spam: bool
    is_cloud_provider: bool
    cloud_provider_name: str
    is_corporate_gateway: bool
    corporate_gateway_type: str
    corporate_gateway_provider_name: str


class Decision(TypedDict):
    """The answer to one check: a plain dictionary that can be logged, changed and sent."""

    ip: str | None
    """The address in its canonical spelling; ``None`` when the text was no address."""
    score: int
    """0 to 100; 0 also when nothing is known, which ``band`` tells apart."""
    band: Band | None
    """``low`` 0-19, ``guarded`` 20-44, ``elevated`` 45-79, ``high`` 80-100; ``None`` when nothing is known."""
    flags: Flags
    action: Action
    """What the route should do."""
    would_be: Action
    """What ``enforce`` would have answered; differs from ``action`` only in log-only mode."""
    reasons: list[str]
    """Stable codes, most important first."""
    source: Source
    provider: str | None
    stale: bool
    """Whether the evidence is older than its time to live."""
    degraded: bool
    """Whether the provider should have been asked and could not answer."""
    checked_at: float | None
    """When the source answered, as ``time.time()`` counts."""
    failed_open: bool
    """Whether the policy let the request through because nothing is known."""
    failed_closed: bool
    """Whether the policy held the request because nothing is known."""
    failure: str | None
    """The code of what failed."""
    mode: Mode
    policy: str


class RequestDecision(Decision):
    """A decision about a request, with how its address became known."""

    provenance: Provenance


class ActionCounts(TypedDict):
    """How many decisions had each action."""

    allow: int
    log: int
    challenge: int
    block: int
    hold: int


class PolicyStats(TypedDict):
    """What one policy decided since the checker was made in this process."""

    histogram: list[int]
    """How many decisions had each score from 0 to 100. Only real scores count."""
    action: ActionCounts
    would_be: ActionCounts


class Stats(TypedDict):
    """Counts since the checker was made in this process. Times are as ``time.time()`` counts, durations in seconds."""

    policies: dict[str, PolicyStats]
    cache: dict[str, int]
    upstream: dict[str, Any]
    rungs: dict[str, int]
    redis: dict[str, Any] | None
    budget: list[dict[str, Any]]
    feeds: dict[str, Any] | None


class Outage(TypedDict):
    """That the provider or Redis is left alone, or that this is over."""

    code: str
    since: float
    is_over: bool
    advice: str


class BudgetEvent(TypedDict):
    """That so much of a limit of the budget is used."""

    period: str
    percent: int
    used: int
    limit: int


class News(TypedDict):
    """What is worth telling."""

    outage: Outage | None
    budget: list[BudgetEvent]


class BatchOptions(TypedDict, total=False):
    """When look-ups travel together."""

    threshold: int
    wait: float
    """In seconds."""
    size: int


class BudgetOptions(TypedDict, total=False):
    """How many look-ups may be paid for."""

    per_second: int
    per_day: int
    per_month: int
    reserved: int


class CacheOptions(TypedDict, total=False):
    """How long what the provider said is kept in the process, in seconds, and how much of it."""

    ttl: float
    stale: float
    max_entries: int
    ipv6_prefix: int


class SentinelOptions(TypedDict, total=False):
    """Sentinels, and the name under which they know the server."""

    master: str
    urls: Sequence[str]
    username: str
    password: str


class RedisOptions(TypedDict, total=False):
    """Where the shared cache is: exactly one of ``url``, ``urls`` with ``cluster``, and ``sentinel``."""

    url: str
    urls: Sequence[str]
    cluster: bool
    sentinel: SentinelOptions
    username: str
    password: str
    database: int
    key_prefix: str
    timeout: float
    """In seconds."""
    tls: Mapping[Literal["ca"], str]


class FeedFile(TypedDict, total=False):
    """A list of your own, or a database of a provider."""

    path: str
    format: str
    flags: Sequence[str]
    weight: int


class FeedsOptions(TypedDict, total=False):
    """Which offline feeds are read, and what they may decide."""

    dir: str
    files: Sequence[FeedFile]
    prescreen: bool
    primary: bool


class Thresholds(TypedDict, total=False):
    """The scores from which an action is taken, 0 to 100, edge included."""

    log: int
    challenge: int
    block: int


class Rule(TypedDict, total=False):
    """A rule raises or caps an action; ``{"id": ..., "enabled": False}`` switches one off."""

    id: str
    enabled: bool
    when: Mapping[str, Any]
    unless: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    at_least: RisingAction
    at_most: RisingAction
    routes: Sequence[str]


class ListEntry(TypedDict, total=False):
    """An entry of an allow or deny list."""

    cidr: str
    owner: str
    reason: str
    expires: str | date
    routes: Sequence[str]


class FailureModes(TypedDict, total=False):
    """What happens when nothing is known, by what failed."""

    upstream: FailureMode
    exhausted: FailureMode


class PolicyOptions(TypedDict, total=False):
    """What one kind of route does with a score, and without one."""

    extends: str
    mode: Mode
    thresholds: Thresholds
    rules: Sequence[Rule]
    allow: Sequence[str | ListEntry]
    deny: Sequence[str | ListEntry]
    on_failure: FailureMode | FailureModes
    max_action: RisingAction
    max_stale: float
    """In seconds."""
    priority: Literal["normal", "high"]


class RiskCheckerOptions(TypedDict, total=False):
    """Options of a checker. What is not written, or ``None``, has its default; durations are in seconds."""

    api_key: str | None
    endpoint: str | None
    deadline: float | None
    connect_timeout: float | None
    batch: bool | BatchOptions | None
    budget: BudgetOptions | None
    cache: CacheOptions | None
    feeds: bool | FeedsOptions | None
    max_in_flight: int | None
    policies: Mapping[str, PolicyOptions] | None
    redis: str | RedisOptions | Literal[False] | None
