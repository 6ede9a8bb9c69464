"""Everything a restart of the gateway forgets, in one object, and the gateway that holds it."""

import asyncio
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from soaklib.gateway.agents import AgentRegistry
from soaklib.gateway.breaker import Breaker
from soaklib.gateway.cache import Kept, new_cache
from soaklib.gateway.chaos import Chaos
from soaklib.gateway.clock import Clock
from soaklib.gateway.credentials import CredentialStore
from soaklib.gateway.faults import Faults
from soaklib.gateway.growth import Growth
from soaklib.gateway.limiter import RateLimiter
from soaklib.gateway.metrics import Metrics, PrometheusMetrics
from soaklib.gateway.policies import PolicyBook
from soaklib.gateway.policy_engine import Denial, PolicyEngine
from soaklib.gateway.quirks import GROWTH_CAP_BYTES
from soaklib.gateway.quota import QuotaCounters
from soaklib.gateway.records import DETAIL_CHARACTERS, ProxyLogRow, Row, clipped
from soaklib.gateway.request_log import RequestLog
from soaklib.gateway.retry import RetryPolicy
from soaklib.gateway.settings import GatewaySettings
from soaklib.gateway.tokens import TokenRegistry, TokenSigner
from soaklib.gateway.tools import TOOL_ACTIONS, Answer, Tools
from soaklib.gateway.wart_exposition import WartMetrics

if TYPE_CHECKING:
    from cachetools import TLRUCache

BREAKER_THRESHOLD = 5
BREAKER_WINDOW_S = 60.0
BREAKER_OPEN_S = 30.0
BULKHEAD_SLOTS = 10
LIMIT_WINDOW_S = 60.0
CACHE_ENTRIES = 1_000
LOG_ENTRIES = 1_000

_LOGGER = logging.getLogger(__name__)


class PolicyCall(NamedTuple):
    """The call that a policy decides on."""

    policy_id: str
    agent_id: str
    tool: str | None
    action: str | None


class PolicyDecision(NamedTuple):
    """An entry of the policy log; ``number`` grows with every decision."""

    number: int
    call: PolicyCall
    allowed: bool
    reason: str | None
    decided_at_s: float


class State:
    """The memory of the gateway.

    Parameters
    ----------
    settings
        What the gateway was made with.
    clock
        The sources of time.
    signer
        Signs and checks tokens; it outlives a restart, so an old token is still well signed after one.
    restarted
        Whether a memory went before this one.
    """

    def __init__(self, settings: GatewaySettings, clock: Clock, signer: TokenSigner, *, restarted: bool) -> None:
        quirks = settings.quirks
        self.started_at_s = clock.wall()
        self.started_monotonic_s = clock.monotonic()
        self.agents = AgentRegistry(clock)
        self.tokens = TokenRegistry(signer, clock)
        self.credentials = CredentialStore(clock)
        self.policies = PolicyBook(clock)
        self.quotas = QuotaCounters(speed=clock.speed, wall=clock.wall)
        self.engine = PolicyEngine(self.policies, self.quotas, clock)
        self.chaos = Chaos(settings.seed)
        self.tools = Tools(seed=settings.seed, clock=clock, fail_pct=settings.faults.fail_pct)
        self.breakers = {
            tool: Breaker(
                threshold=BREAKER_THRESHOLD,
                window_s=None if quirks.sticky_failures else clock.wall_s(BREAKER_WINDOW_S),
                open_s=clock.wall_s(BREAKER_OPEN_S),
                monotonic=clock.monotonic,
            )
            for tool in TOOL_ACTIONS
        }
        self.bulkheads = {tool: asyncio.Semaphore(BULKHEAD_SLOTS) for tool in TOOL_ACTIONS}
        self.cache: TLRUCache[bytes, Kept[Answer]] | None = (
            None if quirks.no_cache else new_cache(capacity=CACHE_ENTRIES, monotonic=clock.monotonic)
        )
        self.limiter = (
            RateLimiter(limit=settings.rate_limit, window_s=clock.wall_s(LIMIT_WINDOW_S), monotonic=clock.monotonic)
            if settings.rate_limit is not None
            else None
        )
        self.retry = RetryPolicy()
        # Not cryptographic, on purpose: a rehearsal has to be repeatable.
        self.retry_generators = {tool: random.Random(f"{settings.seed}:retry:{tool}") for tool in TOOL_ACTIONS}  # noqa: S311 - as said
        self.metrics: Metrics = (
            WartMetrics(self.started_at_s)
            if quirks.wart_metrics
            else PrometheusMetrics(self.started_at_s, restarted=restarted)
        )
        self.proxy_logs: deque[ProxyLogRow] = deque(maxlen=LOG_ENTRIES)
        self.policy_logs: deque[PolicyDecision] = deque(maxlen=LOG_ENTRIES)
        self.decisions = 0
        self.requests_served = 0
        self.growth = Growth(GROWTH_CAP_BYTES)
        self._wall = clock.wall

    def log_decision(self, call: PolicyCall, denial: Denial | None) -> None:
        """Keep a decision of a policy in the policy log; without a denial the call was allowed."""
        self.decisions += 1
        reason = clipped(denial.log_reason, DETAIL_CHARACTERS) if denial is not None else None
        self.policy_logs.append(PolicyDecision(self.decisions, call, denial is None, reason, self._wall()))


class Gateway:
    """One gateway: its settings, its clock, its memory and its request log.

    Parameters
    ----------
    settings
        What it is made with.
    request_log
        Where its rows go.
    clock
        The sources of time.
    """

    def __init__(self, settings: GatewaySettings, request_log: RequestLog, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.request_log = request_log
        made_at_s = clock.monotonic()
        self.faults = Faults(settings.faults, lambda: (clock.monotonic() - made_at_s) * clock.speed)
        self.leak = Growth()
        self.signer = TokenSigner(settings.token_key())
        self.state = State(settings, clock, self.signer, restarted=False)
        self.chaos_works = not (settings.quirks.placebo_chaos or settings.faults.chaos_without_effect)

    def restart(self) -> None:
        """Forget everything a restart of the process would forget; the address and the signing key stay."""
        _LOGGER.warning("restart: agents, tokens, policies, logs and counters are forgotten")
        self.state = State(self.settings, self.clock, self.signer, restarted=True)

    def uptime_s(self) -> float:
        """Return the wall seconds since the start or the last restart."""
        return self.clock.monotonic() - self.state.started_monotonic_s

    def record(self, row: Row) -> None:
        """Send a row to the database."""
        self.request_log.append(row)
