"""The settings of a soak: one model for flags, environment and TOML, validated before anything runs.

A value is taken from the first of these that has it:

1. the flag (``--rps 5``),
2. the environment (``SOAK_RPS=5``; every setting has its ``SOAK_`` name, and GATEWAY_URL and HTTP_TIMEOUT_MS work too),
3. the table ``[settings]`` of the file given with ``--plan``, and for a rehearsal its table ``[rehearsal]``,
4. the default, which depends on whether there is a gateway URL: with one a day at 10 slots a second, without one a
   rehearsal against the embedded reference gateway, 24 soak-hours in two minutes.
"""

from __future__ import annotations

import ipaddress
import os
import resource
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from soaklib.errors import SettingsError, near_miss
from soaklib.plan.given import Pair, abort_rule, absolute_database, base_url, limit_on_agents, refuse_no_file
from soaklib.plan.model import plan_file, shipped_plans
from soaklib.safety.reaching import tls_context
from soaklib.safety.redaction import mask_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo

__all__ = [
    "ADMIN_TOKEN_VARIABLE",
    "PLAIN_VARIABLES",
    "SoakSettings",
    "Thresholds",
    "default_max_in_flight",
    "header_values",
    "is_loopback",
]

ADMIN_TOKEN_VARIABLE: Final = "SOAK_GATEWAY_ADMIN_TOKEN"  # noqa: S105 - the variable's name
_RESERVED_FILES: Final = (
    128  # database, log files, pipes, the scraper's and the admin calls' sockets, room for libraries
)
_MOST_IN_FLIGHT: Final = 8192  # past this one process's ephemeral ports and the peer's backlog run out before files do
_REHEARSAL: Final = {"rps": 1.0, "speed": 720.0}
_QUICK: Final = {"rps": 0.25, "speed": 2880.0}  # as many calls a wall second: what two cores bear beside the gateway
_EXTERNAL: Final = {"rps": 10.0, "speed": 1.0}
PLAIN_VARIABLES: Final = {"gateway_url": "GATEWAY_URL", "http_timeout_ms": "HTTP_TIMEOUT_MS"}


def default_max_in_flight() -> int:
    """Derive the in-flight cap from the process's limit on open files, each operation holding one socket."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_IN_FLIGHT
    return max(1, min(soft - _RESERVED_FILES, _MOST_IN_FLIGHT))


def is_loopback(url: str) -> bool:
    """Say whether a URL's host is this machine's loopback, by address or as ``localhost``."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def header_values(pairs: Iterable[str]) -> dict[str, str]:
    """Read headers of the form NAME=VARIABLE from the environment.

    Raises
    ------
    SettingsError
        One has another form, or its variable is not set.
    """
    headers = {}
    for pair in pairs:
        name, equals, variable = pair.partition("=")
        if not equals or variable not in os.environ:
            what = f"the environment variable {variable} is not set" if equals else "must have the form NAME=VARIABLE"
            msg = f"--header-env {pair}: {what}"
            raise SettingsError(msg)
        headers[name] = os.environ[variable]
    return headers


class Thresholds(BaseModel):
    """What the acceptance criteria require; none is infinite, since a run keeps them as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    success_rate: float = Field(97.0, ge=0, le=100, description="least success rate over all, percent")
    success_rate_outside: float = Field(
        99.5, ge=0, le=100, description="least success rate outside the planned windows, percent"
    )
    recovery_s: float = Field(120.0, gt=0, description="breakers are closed again this long after chaos, soak seconds")
    invalid_windows: float = Field(
        5.0, ge=0, le=100, description="most windows in which the generator itself was late, percent"
    )
    drift_median_ms: float = Field(5.0, gt=0, description="most change of the median service time, milliseconds")
    drift_tail_ms: float = Field(50.0, gt=0, description="most change of the 99th percentile, milliseconds")
    drift_share: float = Field(
        10.0, gt=0, description="most change of a latency as a share of its level where that is less, percent"
    )
    drift_median_floor_ms: float = Field(
        1.0, gt=0, description="change of the median that never matters, milliseconds: what the machine itself makes"
    )
    drift_tail_floor_ms: float = Field(
        25.0, gt=0, description="change of the 99th percentile that never matters, milliseconds: as above"
    )
    drift_errors: float = Field(0.5, gt=0, description="most change of the share of failed calls, percent")
    drift_memory_mib: float = Field(64.0, gt=0, description="most change of memory, MiB")
    drift_files: float = Field(64.0, gt=0, description="most change of the number of open files")
    drift_loop_lag_ms: float = Field(
        20.0, gt=0, description="most change of the gateway's event-loop lag, milliseconds"
    )
    late_ms: float = Field(100.0, gt=0, description="lag from which the generator counts as late, wall milliseconds")


class SoakSettings(BaseSettings):
    """Run a soak: steady load, changes on schedule, every outcome in DuckDB."""

    model_config = SettingsConfigDict(
        env_prefix="SOAK_",
        frozen=True,
        extra="forbid",
        cli_prog_name="python -m soaklib.run",
        cli_exit_on_error=False,
        cli_kebab_case=True,
        cli_implicit_flags="toggle",
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    gateway_url: Annotated[str, AfterValidator(base_url)] | None = Field(
        None,
        description="base URL of the gateway under load, reached straight: http_proxy and the like are not obeyed; "
        "without it the reference gateway is started as a rehearsal",
    )
    rps: float = Field(1.0, gt=0, le=100_000, allow_inf_nan=False, description="slots a soak-second [1; with a URL 10]")
    hours: float = Field(24.0, gt=0, le=24 * 366, allow_inf_nan=False, description="length in soak-hours")
    speed: float = Field(
        720.0, gt=0, le=100_000, allow_inf_nan=False, description="soak seconds per wall second [720; with a URL 1]"
    )
    seed: int = Field(1, ge=0, lt=2**63, description="seed of the workload and of the embedded gateway")
    plan: Annotated[Path, AfterValidator(plan_file)] | None = Field(
        None, description="TOML file with another plan, or the name of a shipped one (openai.toml, mcp.toml)"
    )
    out: Path = Field(Path("data/runs"), description="folder in which the run's folder is made")
    resume: str | None = Field(
        None,
        description="folder or id of a run to go on with; takes every setting from it, and anew only --yes, --strict, "
        "--no-report, --watch, --junit, --reference, --metrics-port, --ca-file and --database-url (a run keeps no "
        "password)",
    )
    max_in_flight: int | None = Field(
        None, ge=1, description="operations under way at most; derived from the limit on open files"
    )
    agents_per_role: int = Field(1, ge=1, le=10_000, description="agents made for each role")
    agent_limit: Annotated[str, AfterValidator(limit_on_agents)] | None = Field(
        None,
        description='calls that the gateway lets an agent make, such as "5/60s": a 429 beyond them is no failure of '
        "the gateway's; without it the limit that the target is known for",
    )
    arrivals: Literal["constant", "poisson"] = Field("constant", description="spacing of the slots")
    http_timeout_ms: int = Field(
        30_000,
        ge=1,
        le=3_600_000,
        description="time limit of a call, wall time; that of its connection is a third of it, 10 s at most",
    )
    connection_max_age: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="close a connection of the load after so many wall seconds and make another, so that a balancer "
        "can send calls to gateways that came later; by itself it is used as long as both sides hold it",
    )
    header_env: list[Pair] = Field([], description="header whose value is read from an environment variable")
    ca_file: Annotated[Path, AfterValidator(Path.absolute)] | None = Field(
        None, description="PEM file with authorities, beside the system's, that the gateway's TLS is verified by"
    )
    database_url: Annotated[str, AfterValidator(absolute_database)] | None = Field(
        None, description="the gateway's request log, for the evidence bundle"
    )
    gateway_fault: list[Pair] = Field([], description="fault of the embedded gateway, see its --help")
    gateway_quirks: Literal["real"] | None = Field(
        None, description="let the embedded gateway have the real one's warts"
    )
    drain_s: float = Field(10.0, ge=0, le=600, description="wait this long for open calls at the end, wall seconds")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="serve the runner's own metrics on this port of the loopback; 0 for a free one",
    )
    thresholds: Thresholds = Field(Thresholds(), description="what the acceptance criteria require")
    reference: str | None = Field(
        None,
        exclude=True,
        description="a good run of the same load: what it shows at each time of day is taken out of latency and errors "
        "before they are judged for drift",
    )
    abort_when: Annotated[str, AfterValidator(abort_rule)] | None = Field(
        None, description='end a hopeless run, for example "success_rate < 50 for 10m" of soak time'
    )
    quick: bool = Field(False, description="rehearse the whole day in 30 s of wall time in place of two minutes")
    senders: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="send by so many processes, each its lane of the slots, with its share of the agents and of "
        "--max-in-flight; where that is not set, each has what its own limit on open files allows",
    )
    scheduler: str | None = Field(
        None,
        pattern=r"^(tcp|tls)://\S+:\d+$",
        description="address of a Dask scheduler that places the senders on its workers, which share this disk",
    )
    check: bool = Field(
        False,
        description="validate everything, pass the health gate, try every call and change once with agents made for "
        "it, say what was found, and send no load",
    )
    deep: bool = Field(
        False, exclude=True, description="with --check: then a rehearsal of a wall minute against the gateway as well"
    )
    preflight: bool = Field(
        True,
        exclude=True,
        description="start without trying anything first; by itself, that is done with a gateway URL and with --check",
    )
    report: bool = Field(True, description="leave out the figures and notebooks at the end")
    strict: bool = Field(False, description="let insufficient and not applicable criteria fail the run")
    watch: bool = Field(False, exclude=True, description="serve the run's page on the loopback and say its link")
    junit: Annotated[Path, AfterValidator(Path.absolute)] | None = Field(
        None, exclude=True, description="file for the criteria as JUnit XML, for a pipeline"
    )
    yes: bool = Field(False, description="do not ask before loading a gateway that is not on this machine")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Give the sources in their order of precedence (flags come before all of these)."""
        return init_settings, env_settings, _PlainVariables(settings_cls), _PlanTable(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_target(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in what depends on whether there is a gateway URL."""
        external = values.get("gateway_url") is not None
        try:
            quick = TypeAdapter(bool).validate_python(values.get("quick", False))
        except ValidationError:  # which the field itself says, with its name
            quick = False
        return (_EXTERNAL if external else _QUICK if quick else _REHEARSAL) | values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.gateway_url is not None and (self.gateway_fault or self.gateway_quirks):
            msg = "--gateway-fault and --gateway-quirks are for the embedded gateway; leave out --gateway-url"
            raise ValueError(msg)
        if self.gateway_url is not None and self.quick:
            msg = "--quick is a rehearsal with the embedded gateway; with --gateway-url, shorten the soak by --hours"
            raise ValueError(msg)
        if self.senders is not None and self.max_in_flight is not None and self.max_in_flight < self.senders:
            msg = f"--max-in-flight {self.max_in_flight} leaves none for some of {self.senders} senders; raise it"
            raise ValueError(msg)
        if self.deep and not (self.check and self.preflight):
            msg = "--deep goes on from a check that passed: pass --check with it, and not --no-preflight"
            raise ValueError(msg)
        if self.check and self.resume is not None:
            msg = "--check tries out a new run, --resume goes on with one: pass one of them"
            raise ValueError(msg)
        if self.scheduler is not None and self.senders is None:
            msg = "--scheduler places senders: pass --senders N with it"
            raise ValueError(msg)
        if self.total_slots < 1:
            msg = f"--rps {self.rps:g} x --hours {self.hours:g} plans no slot at all; raise one of them"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names_files(self) -> Self:
        if self.junit is not None:
            refuse_no_file("--junit", self.junit)
        for name, path in (("--ca-file", self.ca_file), ("--plan", self.plan)):
            if path is not None and not path.is_file():
                near = near_miss(path.stem, shipped_plans()) if path is self.plan else ""
                msg = f"{name} {path} is not a file{near}"
                raise ValueError(msg)
        if self.ca_file is not None:
            tls_context(self.ca_file)  # refuses what is no certificate
        return self

    @property
    def duration_s(self) -> float:
        """Planned length in soak seconds."""
        return self.hours * 3600

    @property
    def wall_duration_s(self) -> float:
        """Planned length in wall seconds."""
        return self.duration_s / self.speed

    @property
    def total_slots(self) -> int:
        """How many slots the load has."""
        return round(self.rps * self.duration_s)

    @property
    def embedded(self) -> bool:
        """Whether the run starts the reference gateway itself."""
        return self.gateway_url is None

    @property
    def in_flight_cap(self) -> int:
        """The cap in force."""
        return self.max_in_flight or default_max_in_flight()

    def headers(self) -> dict[str, str]:
        """Read the values of ``--header-env`` from the environment.

        Raises
        ------
        SettingsError
            A variable is not set.
        """
        return header_values(self.header_env)

    def public_json(self) -> str:
        """Give the settings as JSON for the run's manifest, free of passwords."""
        database_url = None if self.database_url is None else mask_url(self.database_url)
        return self.model_copy(update={"database_url": database_url}).model_dump_json()


class _PlainVariables(PydanticBaseSettingsSource):
    """The two environment variables that carry no prefix because other tools use them too."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - its signature
        variable = PLAIN_VARIABLES.get(field_name, "")
        return os.environ.get(variable), field_name, False

    def __call__(self) -> dict[str, Any]:
        return {name: os.environ[variable] for name, variable in PLAIN_VARIABLES.items() if variable in os.environ}


class _PlanTable(PydanticBaseSettingsSource):
    """The tables ``[settings]`` and, without a gateway URL, ``[rehearsal]`` of the plan that a source before named."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - its signature
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        plan = self.current_state.get("plan")
        if plan is None or not (path := plan_file(Path(plan))).is_file():
            return {}
        try:
            content = tomllib.loads(path.read_text("utf-8"))
        except OSError as exc:
            msg = f"--plan: cannot read {plan}: {exc}"
            raise SettingsError(msg) from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            msg = f"--plan: {plan} is no TOML: {exc}"
            raise SettingsError(msg) from exc
        said, own = (_table(content, name, plan) for name in ("settings", "rehearsal"))
        if "gateway_url" in own:
            msg = f"--plan: {plan}: rehearsal is for the embedded gateway; gateway_url belongs into settings"
            raise SettingsError(msg)
        return said if (said | self.current_state).get("gateway_url") else said | own


def _table(content: dict[str, Any], name: str, plan: object) -> dict[str, Any]:
    """Give a table of settings of a plan file; the changes of a rehearsal are the plan's."""
    if not isinstance(table := content.get(name, {}), dict):
        msg = f"--plan: {plan}: {name} must be a table"
        raise SettingsError(msg)
    return _named_as_fields({key: value for key, value in table.items() if key != "changes"})


def _named_as_fields(table: dict[str, Any]) -> dict[str, Any]:
    """Give a table whose keys may be written as flags are, and so may those of a table within it."""
    return {
        key.replace("-", "_"): _named_as_fields(value) if isinstance(value, dict) else value
        for key, value in table.items()
    }
