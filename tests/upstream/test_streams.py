"""The mock upstream's streams are made as the real ones are, since what stands before it reads them."""

import json

from soaklib.targets.sse import EventStream

REQUIRED = {
    "id", "object", "created_at", "error", "incomplete_details", "instructions", "model", "tools", "output",
    "parallel_tool_calls", "metadata", "tool_choice", "temperature", "top_p",
}  # fmt: skip
"""What OpenAI's description of its API says that every response has: a gateway that reads it strictly refuses less."""


def test_a_responses_stream_is_what_openai_sends(drive):
    """Each event bears its type as its name and its number; the answer begins, its parts too, and all of them end."""

    async def scenario(driver):
        body = {"model": "m", "input": "x", "stream": True}
        said = []
        for mode in ("none", "error-frame", "tool-error"):
            await driver.control(mode=mode, frames=4)
            async with driver.session.post(driver.url + "/v1/responses", json=body) as answer:
                stream = EventStream()
                said.append([(name, json.loads(data)) for data, name in stream.feed(await answer.read())])
        return said

    whole, wrong, failed = drive(scenario)
    for events in (whole, wrong, failed):
        assert [(said["type"], said["sequence_number"]) for _, said in events] == [
            (name, number) for number, (name, _) in enumerate(events)
        ]
    begun = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    ended = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    delta = "response.output_text.delta"
    assert [name for name, _ in whole] == [*begun, *[delta] * 4, *ended, "response.completed"]
    assert [name for name, _ in wrong] == [*begun, *[delta] * 2, "error"]
    assert [name for name, _ in failed] == ["response.created", "response.in_progress", "response.failed"]
    text = "".join(said["delta"] for name, said in whole if name == delta)
    last = whole[-1][1]["response"]
    assert last["output"][0]["content"][0]["text"] == whole[8][1]["text"] == text
    assert (last["output"][0], last["status"]) == (whole[10][1]["item"], "completed")
    assert (whole[0][1]["response"]["status"], whole[0][1]["response"]["output"]) == ("in_progress", [])
    assert "usage" not in whole[0][1]["response"]
    end = failed[-1][1]["response"]
    assert (end["status"], end["error"]["code"]) == ("failed", "server_error")
    for response in (whole[0][1]["response"], last, end):
        assert response.keys() >= REQUIRED
