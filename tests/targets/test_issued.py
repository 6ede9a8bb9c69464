"""Keys and tokens that were made: which may be revoked is told by the one in place, and none is forgotten."""

import asyncio

import pytest

from soaklib.targets.admin import AdminError
from soaklib.targets.issued import Issued


class Gateway:
    """Revokes; `answers` are raised first, in their order, None for a success."""

    def __init__(self, *answers):
        self.answers, self.revoked, self.asked = list(answers), [], []

    async def revoke(self, id_):
        self.asked.append(id_)
        if self.answers and (status := self.answers.pop(0)) is not None:
            msg = f"answered with {status}"
            raise AdminError(msg, status=None if status == "nobody" else status)
        self.revoked.append(id_)


def renewed(issued, *pairs):
    """Renew an agent: of each, the one that is made, and the one in place."""

    async def main():
        for new, in_place in pairs:
            await issued.replace("a", f"id-{new}", new, in_place=in_place)

    asyncio.run(main())


def test_the_one_in_place_is_never_revoked():
    """However often a rotation fails for another agent: what was made for it goes, and what calls go on with stays."""
    gateway = Gateway()
    renewed(Issued(gateway.revoke), ("A", ""), ("B", "A"), ("C", "B"), ("D", "B"), ("E", "B"), ("F", "E"))
    assert gateway.revoked == ["id-A", "id-C", "id-D", "id-B"]


def test_of_an_agent_that_was_made_anew_the_last_is_kept():
    """Calls go on with it until the new ones of all agents are there."""
    gateway = Gateway()
    renewed(Issued(gateway.revoke), ("A", ""), ("B", "A"), ("C", ""), ("D", "C"))
    assert gateway.revoked == ["id-A", "id-B"]


@pytest.mark.parametrize("status", [503, 403, "nobody"])
def test_a_revocation_that_fails_is_owed(status):
    """The renewal is good all the same; it is tried again with the next, after those that were not tried yet."""
    gateway = Gateway(status)
    issued = Issued(gateway.revoke)
    renewed(issued, ("A", ""), ("B", "A"), ("C", "B"))
    assert (gateway.revoked, sorted(issued.ids)) == ([], ["id-A", "id-B", "id-C"])
    renewed(issued, ("D", "C"))
    assert (gateway.revoked, sorted(issued.ids)) == (["id-A", "id-B"], ["id-C", "id-D"])


def test_one_that_cannot_be_revoked_keeps_no_other_from_it():
    """Its turn comes last."""
    gateway = Gateway(503, 503, None)
    issued = Issued(gateway.revoke)
    renewed(issued, ("A", ""), ("B", "A"), ("C", "B"), ("D", "C"), ("E", "D"))
    assert gateway.asked == ["id-A", "id-A", "id-B", "id-A", "id-C"]


@pytest.mark.parametrize(("status", "left"), [(503, ["id-A"]), ("nobody", ["id-A", "id-B"]), (401, ["id-A", "id-B"])])
def test_at_the_end_all_are_revoked_but_what_fails(status, left):
    """One that fails keeps no other from being revoked, unless nobody answers or lets us in."""
    gateway = Gateway(status)
    issued = Issued(gateway.revoke)
    issued.add("a", "id-A", "A")
    issued.add("b", "id-B", "B")
    with pytest.raises(AdminError):
        asyncio.run(issued.end_all())
    assert list(issued.ids) == left
    asyncio.run(issued.end_all())
    assert issued.ids == ()
