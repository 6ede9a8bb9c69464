"""A LiteLLM that makes keys, lists and deletes them, and an admin of it."""

from __future__ import annotations

from aiohttp import web
from captured import answers
from target_links import link_to
from upstream_driver import against

from soaklib.targets.openai.admin import OpenAIAdmin
from soaklib.targets.openai.options import OpenAIOptions

OPTIONS = OpenAIOptions(is_litellm=True, make_keys=True, admin_key="MASTER", key_limits={"rpm_limit": 60})
ENVIRONMENT = {"MASTER": "sk-master", "KEY": "sk-key"}


async def finds_none(_):
    return web.json_response({"error": {"message": "{'error': 'No keys found'}", "code": "404"}}, status=404)


class LiteLLM:
    """Answers as the captured LiteLLM does, with a database or without; remembers what it was asked."""

    def __init__(self, *, has_database=True, readiness=b'{"status":"healthy","db":"connected"}'):
        self.has_database, self.readiness = has_database, readiness
        self.asked, self.deleted, self.paths, self.failing, self.live = [], [], [], 0, {}

    def app(self):
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", self.answer)])
        return app

    async def answer(self, request):
        self.paths.append(request.path)
        said = {
            "/key/generate": self.generate, "/key/delete": self.delete, "/key/list": self.list,
            "/health/liveliness": self.alive, "/health/readiness": self.ready, "/metrics/": self.metrics,
        }  # fmt: skip
        return await said[request.path](request) if request.path in said else web.json_response({"data": []})

    def without_database(self, case):
        found = answers("litellm")[case]
        return web.Response(status=found.status, headers=found.headers, body=found.body)

    async def generate(self, request):
        if not self.has_database:
            return self.without_database("admin-key-generate")
        asked = await request.json()
        if any(one["key_alias"] == asked["key_alias"] for one in self.asked):
            text = f"Key with alias '{asked['key_alias']}' already exists. Unique key aliases are required."
            return web.json_response({"error": {"message": text, "code": "400"}}, status=400)
        self.asked.append(asked)
        self.live[asked["key_alias"]] = f"sk-{len(self.asked)}"
        return web.json_response({"key": f"sk-{len(self.asked)}"})

    async def delete(self, request):
        if self.failing > 0:
            self.failing -= 1
            return web.Response(status=503)
        said = await request.json()
        assert list(said) == ["key_aliases"]
        deleted = [self.live.pop(alias) for alias in said["key_aliases"] if alias in self.live]
        self.deleted += deleted
        return web.json_response({"deleted_keys": deleted}) if deleted else await finds_none(request)

    async def list(self, request):
        if not self.has_database:
            return self.without_database("admin-key-list")
        if request.query.get("return_full_object") != "true":
            return web.json_response({"keys": [f"hash-of-{key}" for key in self.live.values()]})
        assert 0 < int(request.query["size"]) <= 100  # or it is a 422
        page = int(request.query["page"])
        keys = [{"token": f"hash-of-{key}", "key_alias": alias} for alias, key in self.live.items()]
        keys = [*keys, {"token": "hash-of-another", "key_alias": None}][2 * page - 2 : 2 * page]  # two a page
        return web.json_response({"keys": keys, "current_page": page, "total_pages": len(self.live) // 2 + 1})

    async def metrics(self, request):
        """Show them to the admin alone, as it does by default."""
        is_admin = request.headers.get("Authorization") == "Bearer sk-master"
        return web.Response(text="up 1\n", status=200 if is_admin else 401)

    async def alive(self, _):
        return web.json_response("I'm alive!")

    async def ready(self, _):
        return web.Response(body=self.readiness, content_type="application/json")


def with_admin(gateway, ask, options=OPTIONS, environment=ENVIRONMENT, told=None):
    """Give what comes of asking an admin of a gateway."""

    async def scenario(driver):
        async with OpenAIAdmin(link_to(driver.url, "litellm.toml", tell=told), options, environment) as admin:
            return await ask(admin)

    return against(gateway.app(), scenario)
