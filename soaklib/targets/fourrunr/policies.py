"""The run's own policies: one a role, made at the start, gone at the end, with the quotas that are due.

A gateway that was never asked for any denies everything. The policies bear the run's id in their names, by which they
are found again when the answer that held an id was lost, or when the run was killed before it could be written down.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from soaklib.errors import TargetError
from soaklib.records import EventName
from soaklib.targets.admin import Made
from soaklib.targets.fourrunr.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.plan.changes import PolicyChange
    from soaklib.plan.model import Plan, Quota, Role
    from soaklib.targets.admin import Tell
    from soaklib.targets.fourrunr.api import GatewayApi

__all__ = ["RunPolicies", "policy_spec", "quota_limit"]


def quota_limit(plan: Plan, role: str, quota: Quota, *, rps: float, planned_ratio: float | None = None) -> int:
    """Give a quota's limit in calls a window: a multiple of the calls planned in it, at least 1."""
    planned = plan.planned_calls(role, quota.action, rps=rps, seconds=quota.window_s)
    return max(1, round(planned * (quota.planned_ratio if planned_ratio is None else planned_ratio)))


def policy_spec(plan: Plan, name: str, *, rps: float, ratios: Mapping[str, float] | None = None) -> dict[str, object]:
    """Give the baseline policy of a role as the gateway takes it; `ratios` overrides the quota of an action."""
    role: Role = plan.roles[name]
    spec: dict[str, object] = {"scopes": list(role.scopes)}
    if role.quotas:
        spec["quotas"] = [
            {
                "action": quota.action,
                "limit": quota_limit(plan, name, quota, rps=rps, planned_ratio=(ratios or {}).get(quota.action)),
                "window": quota.window,
            }
            for quota in role.quotas
        ]
    return spec


class RunPolicies:
    """The policies of one run at one gateway.

    One thing at a time is done to them: a cut that is due while they are made anew waits until they are there.

    Parameters
    ----------
    api, tell
        Where they are made, and who is told what became of it.
    plan
        Names the roles, their scopes and quotas.
    rps
        Slots a soak-second, which the quotas are multiples of.
    run_id
        Part of their names.
    """

    def __init__(self, api: GatewayApi, tell: Tell, plan: Plan, *, rps: float, run_id: str) -> None:
        self._api = api
        self._tell = tell
        self._plan = plan
        self._rps = rps
        self._run_id = run_id
        self._ids: dict[str, str] = {}  # the one in force, by role
        self._may_exist: dict[str, set[str]] = {}  # by role, from before the first is asked for until all are gone
        self._ratios: dict[tuple[str, str], float] = {}
        self._is_unsupported = False
        self._turn = asyncio.Lock()

    @property
    def made(self) -> tuple[str, ...]:
        """Ids of the policies that this process has made, and not removed."""
        return tuple(sorted(policy for ids in self._may_exist.values() for policy in ids))

    def restore_cut(self, change: PolicyChange) -> None:
        """Take up that a quota was cut before the run was resumed: what is made from now on has it."""
        self._ratios[change.role, change.action] = change.planned_ratio

    async def create(self) -> None:
        """Create the policy of each role; a gateway without the route is said to have none.

        Raises
        ------
        TargetError
            The gateway refuses, or gives no answer.
        """
        async with self._turn:
            await self._create_all()

    async def renew(self) -> None:
        """Make them anew, for a gateway that has restarted and may have forgotten them.

        Raises
        ------
        TargetError
            The gateway refuses, or gives no answer.
        """
        async with self._turn:
            left = [said for role in list(self._may_exist) for said in await self._clear(role)]
            if left:
                msg = f"policies of before: {'; '.join(left)}"
                raise TargetError(msg)
            await self._create_all()

    async def remove_left(self, ids: Mapping[str, str]) -> None:
        """Remove what an earlier runner of the run left, by name and by the ids (by role) that it wrote down.

        What stays is said, and tried again at the end.
        """
        async with self._turn:
            for role in self._plan.roles:
                self._may_exist.setdefault(role, set()).update({ids[role]} if role in ids else ())
            left = [said for role in self._plan.roles for said in await self._clear(role)]
        if left:
            self._tell(EventName.CHANGE_FAILED, f"policies of before: {'; '.join(left)}")

    async def remove(self) -> None:
        """Remove all that the run made; what cannot be removed is said with its id."""
        removed, left = [], []
        async with self._turn:
            for role in list(self._may_exist):
                was_there = role in self._ids
                if said := await self._clear(role):
                    left += said
                elif was_there:
                    removed.append(role)
        if removed:
            self._tell(EventName.POLICIES_REMOVED, " ".join(removed), data={"roles": list(removed)})
        if left:
            self._tell(EventName.POLICIES_NOT_REMOVED, "; ".join(left))

    async def cut(self, change: PolicyChange) -> Made:
        """Cut a quota; give what was done.

        Raises
        ------
        ApiError
            The gateway refuses, gives no answer, or has no policies.
        """
        async with self._turn:
            if self._is_unsupported:
                route = "PATCH /api/policies"
                raise ApiError.missing(route)
            entry = (change.role, change.action)
            before = self._ratios.get(entry)
            self._ratios[entry] = change.planned_ratio  # before the call: it takes effect before its answer is here
            try:
                if not await self._update(change.role):  # after a restart: it is made with the cut in place
                    await self._create_one(change.role)
            except ApiError as exc:
                if exc.is_refusal:
                    self._ratios.pop(entry)
                    if before is not None:
                        self._ratios[entry] = before
                raise
        [quota] = [quota for quota in self._plan.roles[change.role].quotas if quota.action == change.action]
        limit = quota_limit(self._plan, change.role, quota, rps=self._rps, planned_ratio=change.planned_ratio)
        return Made(
            change.role,
            {"role": change.role, "action": change.action, "limit": limit, "window": quota.window},
        )

    # -- one role's

    def _name(self, role: str) -> str:
        return f"{self._run_id}-{role}"

    def _spec(self, role: str) -> dict[str, object]:
        ratios = {action: ratio for (owner, action), ratio in self._ratios.items() if owner == role}
        return policy_spec(self._plan, role, rps=self._rps, ratios=ratios)

    async def _update(self, role: str) -> bool:
        """Give the policy in force what is due; say whether there was one, which a restart may have lost unnoticed."""
        if role not in self._ids:
            return False
        try:
            await self._api.update_policy(self._ids[role], spec=self._spec(role))
        except ApiError as exc:
            if not exc.lost_identity:
                raise
            return False
        return True

    async def _create_all(self) -> None:
        for role in self._plan.roles:
            try:
                await self._create_one(role)
            except ApiError as exc:
                if not exc.is_missing:
                    raise
                self._is_unsupported = True
                self._tell(EventName.CHANGE_UNSUPPORTED, f"baseline policies: {exc}")
                return
        self._is_unsupported = False
        self._tell(EventName.POLICIES_CREATED, data=dict(self._ids))

    async def _create_one(self, role: str) -> None:
        ids = self._may_exist.setdefault(role, set())  # before the call: its answer may get lost
        try:
            self._ids[role] = await self._api.create_policy(name=self._name(role), role=role, spec=self._spec(role))
        except ApiError as exc:
            if exc.is_refusal and not ids:
                del self._may_exist[role]
            raise
        ids.add(self._ids[role])

    async def _clear(self, role: str) -> list[str]:
        """Remove every policy that the run may have for a role; say what stays, and why."""
        left: list[str] = []
        for policy in await self._policies_of(role, left):
            try:
                await self._api.delete_policy(policy)
            except ApiError as exc:
                if exc.status != HTTPStatus.NOT_FOUND:
                    left.append(f"{role}={policy} ({exc})")
        if not left:
            self._may_exist.pop(role, None)
            self._ids.pop(role, None)
        return left

    async def _policies_of(self, role: str, left: list[str]) -> list[str]:
        """Give the ids of the run's policies for a role: those that are known, and those that bear its name."""
        known = sorted(self._may_exist.get(role, ()))
        try:
            listed = await self._api.policies(role)
        except ApiError as exc:
            if not exc.is_missing:  # a gateway that cannot be asked has those that are known, and no others
                left.append(f"{role} ({exc})")
            return known
        named = [str(policy["id"]) for policy in listed if policy.get("name") == self._name(role) and "id" in policy]
        return list(dict.fromkeys([*known, *named]))
