"""LiteLLM's keys that a killed runner left: removed by its guard, and by the run that is resumed."""

import datetime as dt
import json

import pytest
from aiohttp import web
from litellm_keys import LiteLLM, with_admin
from target_links import Told

from soaklib.records.vocabulary import EventName
from soaklib.targets.openai.options import OpenAIOptions

DAY = dt.timedelta(days=1)


async def renew_twice(admin):
    """Give an agent that has its second key, with the first still good."""
    agent = await admin.open("asker", "run-1-asker-0")
    first = await admin.renew(agent, expires_at=dt.datetime.now(dt.UTC) + DAY)
    return await admin.renew(first, expires_at=dt.datetime.now(dt.UTC) + DAY)


def test_what_removes_the_keys_bears_none():
    """The guard of the run sends it as it is, each on its own, and a journal on disk holds it: by alias."""
    gateway = LiteLLM()

    async def ask(admin):
        await renew_twice(admin)
        removing = admin.removing
        await admin.clear()
        return removing, admin.removing

    removing, after = with_admin(gateway, ask)
    assert after == ()
    aliases = [one["key_alias"] for one in gateway.asked]
    assert [json.loads(wire.body) for wire in removing] == [{"key_aliases": [alias]} for alias in aliases]
    sent = {"Content-Type": "application/json", "Authorization": "Bearer sk-master"}
    assert [wire[:3] for wire in removing] == [("POST", "/key/delete", sent)] * 2
    assert not any(secret in str([wire.body for wire in removing]) for secret in ("sk-1", "sk-2"))


def test_no_keys_are_removed_where_none_are_made():
    """Nor does what an earlier process owed get a key of the environment."""

    async def ask(admin):
        await admin.clear_left({})
        return admin.removing, admin.wire("POST", "/x", None).headers

    gateway = LiteLLM()
    assert with_admin(gateway, ask, OpenAIOptions(is_litellm=True, key="KEY")) == ((), {})
    assert gateway.paths == []


def test_a_resumed_run_deletes_the_keys_that_a_killed_runner_left():
    """Its aliases tell whose they are: neither those of another run, of a lane, nor its own; on however many pages."""
    gateway = LiteLLM()
    with_admin(gateway, renew_twice)  # ends without a word, as one that is killed
    gateway.live |= {"run-12-asker-0-x-1": "sk-a", "run-1-lane3-asker-0-x-1": "sk-b", "mine": "sk-c"}

    async def resume(admin):
        secret = (await renew_twice(admin)).secret
        await admin.clear_left({})
        left = sorted(gateway.live.values())
        await admin.clear()
        return secret, left

    assert with_admin(gateway, resume) == ("sk-4", ["sk-3", "sk-4", "sk-a", "sk-b", "sk-c"])
    assert sorted(gateway.live.values()) == ["sk-a", "sk-b", "sk-c"]


def test_keys_that_cannot_be_deleted_now_are_told_and_stay_owed():
    """An event says what is left of the earlier runner, and the end tries again."""
    gateway, told = LiteLLM(), Told()
    with_admin(gateway, renew_twice)
    gateway.failing = 2

    async def resume(admin):
        await admin.clear_left({})
        left = len(admin.removing)
        await admin.clear()
        return left

    assert with_admin(gateway, resume, told=told) == 2
    [(name, detail, _)] = told.events
    assert name == EventName.POLICIES_NOT_REMOVED
    assert detail.startswith("keys of an earlier runner are left: POST /key/delete was answered with 503")
    assert gateway.live == {}


@pytest.mark.parametrize("said", [{"keys": ["hash"]}, {"keys": [{"key_alias": 7}]}, {"keys": {}}, []])
def test_a_list_of_keys_that_is_none_ends(said):
    """A gateway that gives the same page for ever, or hashes alone, is asked no more once it says nothing new."""
    gateway = LiteLLM()

    async def odd(_):
        return web.json_response(said)

    gateway.list = odd

    async def ask(admin):
        await admin.clear_left({})

    with_admin(gateway, ask)
    assert gateway.deleted == []
