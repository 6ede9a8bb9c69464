"""LiteLLM beside the load: keys made, replaced and deleted; health without a call to a model."""

import datetime as dt

import pytest
from aiohttp import web
from litellm_keys import OPTIONS, LiteLLM, finds_none, with_admin
from target_links import Told, link_to
from upstream_driver import against, against_upstream

from soaklib.errors import SettingsError, TargetError
from soaklib.plan.model import Step
from soaklib.records.vocabulary import Trial
from soaklib.targets.admin import AdminError
from soaklib.targets.openai import OpenAITarget
from soaklib.targets.openai.admin import OpenAIAdmin
from soaklib.targets.openai.options import OpenAIOptions

DAY = dt.timedelta(days=1)


def test_keys_are_made_replaced_and_deleted():
    """Each renewal makes a key that ends by itself; the one before the last is deleted, and at the end the rest."""
    gateway = LiteLLM()

    async def ask(admin):
        agent = await admin.open("asker", "a")
        assert agent.secret == ""
        for _ in range(3):
            agent = await admin.renew(agent, expires_at=dt.datetime.now(dt.UTC) + DAY)
        deleted = list(gateway.deleted)
        await admin.clear()
        return agent.secret, deleted

    assert with_admin(gateway, ask) == ("sk-3", ["sk-1"])
    assert gateway.deleted == ["sk-1", "sk-2", "sk-3"]
    [first, *_] = gateway.asked
    assert first["rpm_limit"] == 60
    assert first["metadata"] == {"soaklib_run": "run-1"}
    assert 86_390 <= int(first["duration"].removesuffix("s")) <= 86_400


def test_a_rotation_that_fails_takes_no_key_from_the_load():
    """A deletion that gets a 5xx is owed, and what was made in vain goes: the key in place is good all the time."""
    gateway = LiteLLM()
    gateway.failing = 1

    async def ask(admin):
        agent = await admin.open("asker", "a")
        for _ in range(3):  # sk-1 cannot be deleted with the third
            agent = await admin.renew(agent, expires_at=dt.datetime.now(dt.UTC) + DAY)
        for _ in range(2):  # renewed again, since another agent could not be
            await admin.renew(agent, expires_at=dt.datetime.now(dt.UTC) + DAY)
        deleted = list(gateway.deleted)
        await admin.clear()
        return agent.secret, deleted

    assert with_admin(gateway, ask) == ("sk-3", ["sk-1", "sk-2", "sk-4"])
    assert gateway.deleted == ["sk-1", "sk-2", "sk-4", "sk-3", "sk-5"]


def test_a_key_that_is_gone_is_deleted():
    """LiteLLM finds none of those that it is to delete: they are, as after a deletion whose answer was lost."""
    gateway = LiteLLM()
    gateway.delete = finds_none
    told = Told()

    async def ask(admin):
        await admin.renew(await admin.open("asker", "a"), expires_at=dt.datetime.now(dt.UTC) + DAY)
        await admin.clear()

    with_admin(gateway, ask, told=told)
    assert told.events == []


def test_no_key_has_the_alias_of_another():
    """LiteLLM takes each once: not of a generation before, of an agent made anew, of a trial or of a killed runner."""
    gateway = LiteLLM()

    async def ask(admin):
        for _ in range(2):
            agent = await admin.open("asker", "run-1-asker-0")
            for _ in range(2):
                agent = await admin.renew(agent, expires_at=dt.datetime.now(dt.UTC) + DAY)
        for _ in range(2):
            for trial in (Trial.EXPIRED, Trial.REVOKED, Trial.EDGE):
                await admin.trial_identity(trial, agent, expires_at=dt.datetime.now(dt.UTC) + DAY)

    with_admin(gateway, ask)
    with_admin(gateway, ask)
    assert len({one["key_alias"] for one in gateway.asked}) == len(gateway.asked) == 20
    assert all(one["key_alias"].startswith("run-1-") for one in gateway.asked)


def test_without_a_database_keys_cannot_be_made():
    """That a gateway has no database is read from its words, whatever the status: unsupported, and no soak is begun."""

    async def renew(admin):
        await admin.renew(await admin.open("asker", "a"), expires_at=dt.datetime.now(dt.UTC) + DAY)

    async def check(admin):
        await admin.missing(admin.link.plan)

    with pytest.raises(AdminError) as caught:
        with_admin(LiteLLM(has_database=False), renew)
    assert (caught.value.status, caught.value.is_missing, caught.value.is_refusal) == (500, True, True)
    with pytest.raises(TargetError, match="it has no database"):
        with_admin(LiteLLM(has_database=False), check)
    with_admin(LiteLLM(), check)


@pytest.mark.parametrize(
    ("readiness", "is_fit"),
    [(b'{"status":"healthy"}', True), (b'{"status":"unhealthy"}', False), (b'{"status":[]}', False), (b"{", False)],
)
def test_health_never_calls_a_model(readiness, is_fit):
    """Liveliness and readiness are asked, and /health, which calls every model, is not."""
    gateway = LiteLLM(readiness=readiness)

    async def ask(admin):
        return await admin.health()

    assert with_admin(gateway, ask).fit == is_fit
    assert gateway.paths == ["/health/liveliness", "/health/readiness"]


def test_an_endpoint_is_asked_for_its_models():
    """Another endpoint is well when it lists its models; those of the plan that it lacks are named."""

    async def scenario(driver):
        link = link_to(driver.url, "openai.toml")
        async with OpenAIAdmin(link, OpenAIOptions(), {}) as admin:
            ours = await admin.missing(link.plan)
            others = await admin.missing(link_to(driver.url, "litellm.toml").plan)
            return await admin.health(), ours, others

    health, ours, others = against_upstream(scenario)
    assert health.fit
    assert ours == ({}, [])
    assert others.notes == ["the endpoint lists no model 'fast'", "the endpoint lists no model 'second'"]


def test_each_key_is_asked_for_the_models_that_its_role_calls():
    """A proxy lists to each key what that key may use: what one role calls is no miss of another role's key."""
    listed = {"Bearer sk-a": ["fast"], "Bearer sk-b": ["slow"]}

    async def models(request):
        data = [{"id": name, "object": "model"} for name in listed[request.headers["Authorization"]]]
        return web.json_response({"object": "list", "data": data})

    async def scenario(driver):
        options = OpenAIOptions(keys={"asker": ("A",), "writer": ("B",)})
        link = link_to(driver.url, "litellm.toml")
        async with OpenAIAdmin(link, options, {"A": "sk-a", "B": "sk-b"}) as admin:
            return (await admin.missing(link.plan)).notes

    def asked():
        app = web.Application()
        app.add_routes([web.get("/v1/models", models)])
        return against(app, scenario)

    assert asked() == ["the endpoint lists no model 'second'"]  # the writer's
    listed["Bearer sk-b"] = ["second"]
    assert asked() == []


def test_a_key_that_is_not_set_is_named():
    """A variable that is not set ends the check with its name; a role that the plan lacks does too."""

    async def check(admin):
        await admin.missing(admin.link.plan)

    for options, named in (
        (OpenAIOptions(key="NOWHERE"), "NOWHERE: it is not set"),
        (OpenAIOptions(keys={"nobody": ("KEY",)}), "names nobody, which is no role"),
    ):
        with pytest.raises(SettingsError, match=named):
            with_admin(LiteLLM(), check, options)


def test_a_key_is_known_by_what_litellm_calls_it():
    """By the first digits of its SHA-256, as in the captured metrics of the same key; anew with each key."""

    async def opened(admin):
        return await admin.open("asker", "a")

    async def renewed(admin):
        return await admin.renew(await admin.open("asker", "a"), expires_at=dt.datetime.now(dt.UTC) + DAY)

    async def forged(admin):
        return await admin.trial_identity(Trial.UNKNOWN, await admin.open("asker", "a"), expires_at=None)

    given, alpha = OpenAIOptions(is_litellm=True, key="KEY"), {"KEY": "sk-alpha"}
    assert with_admin(LiteLLM(), opened, given, alpha).key_id == "2179e632e89277f1"
    assert with_admin(LiteLLM(), forged, given, alpha).key_id not in {None, "2179e632e89277f1"}
    assert with_admin(LiteLLM(), opened, OpenAIOptions(key="KEY"), alpha).key_id is None
    assert with_admin(LiteLLM(), opened).key_id is None  # it has none yet
    assert with_admin(LiteLLM(), renewed).key_id == "0f2c10bf3d128c71"


def test_a_role_whose_keys_are_named_gets_none_that_is_made():
    """Where others' are made, too: the key that must be refused stays the one that is called with."""
    gateway = LiteLLM()
    options = OPTIONS.model_copy(update={"keys": {"stranger": ("KEY",)}})

    async def ask(admin):
        agents = [await admin.open(role, "a") for role in ("stranger", "asker")]
        return [(await admin.renew(agent, expires_at=dt.datetime.now(dt.UTC) + DAY)).secret for agent in agents]

    assert with_admin(gateway, ask, options) == ["sk-key", "sk-1"]
    assert len(gateway.asked) == 1
    target = OpenAITarget(options)
    step = Step(tool="m", action="chat", params={"messages": []})
    lost = {role: bool(target.compile(step, role).mended) for role in ("stranger", "asker")}
    assert lost == {"stranger": False, "asker": True}


def test_the_variables_of_named_keys_are_looked_for_where_others_are_made():
    """That of the admin, too; that of every other role's key is not needed then."""

    async def check(admin):
        await admin.missing(admin.link.plan)

    for update, named in (
        ({"keys": {"asker": ("NOWHERE",)}}, "NOWHERE: it is not set"),
        ({"keys": {"nobody": ("KEY",)}}, "names nobody, which is no role"),
        ({"make_keys": False, "admin_key": "NOWHERE"}, "NOWHERE: it is not set"),
        ({"make_keys": False}, "key_limits, which are of keys that are made"),
        ({"keys": {"asker": ("KEY",), "writer": ("KEY",)}}, "its keys name every role"),
    ):
        with pytest.raises(SettingsError, match=named):
            with_admin(LiteLLM(), check, OPTIONS.model_copy(update=update))
    with_admin(LiteLLM(), check, OPTIONS.model_copy(update={"key": "NOWHERE"}))


def test_a_key_to_be_revoked_that_cannot_be_is_deleted_later():
    """It lives for a day: what could not be deleted in its turn is so at the end."""
    gateway = LiteLLM()
    gateway.failing = 1

    async def ask(admin):
        agent = await admin.renew(await admin.open("asker", "a"), expires_at=dt.datetime.now(dt.UTC) + DAY)
        with pytest.raises(AdminError):
            await admin.trial_identity(Trial.REVOKED, agent, expires_at=dt.datetime.now(dt.UTC) + DAY)
        await admin.clear()

    with_admin(gateway, ask)
    assert sorted(gateway.deleted) == ["sk-1", "sk-2"]


def test_the_admin_sees_the_metrics():
    """LiteLLM shows them to nobody else, unless its configuration says so."""

    async def ask(admin):
        return (await admin.look("metrics")).status

    assert with_admin(LiteLLM(), ask) == 200
    assert with_admin(LiteLLM(), ask, OpenAIOptions(is_litellm=True, admin_key="MASTER")) == 200
    assert with_admin(LiteLLM(), ask, OpenAIOptions(is_litellm=True, key="KEY")) == 401


@pytest.mark.parametrize("key", ["sk-a\r\nX-Other: 1", "", "sk-\x00", ["sk-a"], "k" * 20_000])
def test_a_key_that_no_header_can_bear_is_none(key):
    """It would end the run where the first call is sent with it."""
    gateway = LiteLLM()

    async def odd(_):
        return web.json_response({"key": key})

    gateway.generate = odd

    async def ask(admin):
        await admin.renew(await admin.open("asker", "a"), expires_at=dt.datetime.now(dt.UTC) + DAY)

    with pytest.raises(AdminError, match="but without a key"):
        with_admin(gateway, ask)
