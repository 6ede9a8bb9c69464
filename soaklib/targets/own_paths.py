"""Where a gateway that is not known by name says how it is: health, metrics and memory, as the plan tells."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from soaklib.targets.base import Meaning, MetricMap, Series

__all__ = ["PathsOptions"]

_Path = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)+/?$")]


class PathsOptions(BaseModel):
    """Options of ``[target]`` that every kind has whose gateways may be any.

    Attributes
    ----------
    health_path, metrics_path
        Where health and metrics are, beneath the gateway's base URL; None where there are none.
    memory_metric
        The gauge there that says how many bytes the gateway holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    known_by: ClassVar[str]
    """The option that says of a gateway that it is one whose paths are known."""

    health_path: _Path | None = None
    metrics_path: _Path | None = None
    memory_metric: str = Field("process_resident_memory_bytes", pattern=r"^[A-Za-z_:][A-Za-z0-9_:]*$")

    @model_validator(mode="after")
    def _says_no_path_twice(self) -> Self:
        if self.paths and getattr(self, self.known_by):
            msg = f"{self.known_by} says already where health and metrics are: leave out {', '.join(self.paths)}"
            raise ValueError(msg)
        if self.metrics_path is None and "memory_metric" in self.model_fields_set:
            msg = "memory_metric needs metrics_path: where the gauge is"
            raise ValueError(msg)
        return self

    @property
    def paths(self) -> dict[str, str]:
        """Which paths the plan tells, by option."""
        told: dict[str, Any] = {"health_path": self.health_path, "metrics_path": self.metrics_path}
        return {option: path for option, path in told.items() if path is not None}

    @property
    def routes(self) -> dict[str, str]:
        """What there is to look at, by endpoint; nothing where the plan tells none."""
        return {option.removesuffix("_path"): path for option, path in self.paths.items()}

    @property
    def metric_map(self) -> MetricMap:
        """What the metrics mean, as far as it is told, and as far as every Prometheus client names it alike."""
        if self.metrics_path is None:
            return MetricMap(path=None)
        meanings = {
            Meaning.MEMORY: Series(self.memory_metric),
            Meaning.OPEN_FILES: Series("process_open_fds"),
            Meaning.START: Series("process_start_time_seconds"),
        }
        return MetricMap(path=self.metrics_path, meanings=meanings)
