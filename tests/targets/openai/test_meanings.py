"""LiteLLM's metrics mean what the rows of its client say of the same calls."""

import pytest
from captured import answers

from soaklib.plan.model import Step
from soaklib.records import Kind
from soaklib.targets.base import Meaning, Series
from soaklib.targets.openai import OpenAITarget
from soaklib.targets.openai.meanings import LITELLM_METRICS

STEP = Step(tool="fast", action="chat", params={"messages": []})
COUNTED = {  # captured answer -> what the same call is counted under, as in the metrics of the ledger's 370 calls
    "auth-model-denied": ("ModelAccessDeniedProxyException", "403", "None", "None"),
    "auth-model-unknown-allkey": ("ProxyModelNotFoundError", "400", "None", "None"),
    "auth-expired": ("ProxyException", "401", "None", "None"),
    "budget-static-denied": ("BudgetExceededError", "422", "litellm_rate_limit", "budget"),
    "limit-rpm-denied": ("HTTPException", "429", "litellm_rate_limit", "requests"),
    "limit-parallel-denied": ("HTTPException", "429", "litellm_rate_limit", "concurrent_requests"),
    "cooldown-pboth-429": ("RouterRateLimitError", "429", "None", "None"),
    "up-429": ("Openai.RateLimitError", "429", "vendor_rate_limit", "None"),
    "up-403": ("Openai.PermissionDeniedError", "403", "None", "None"),
    "up-500": ("Openai.InternalServerError", "500", "None", "None"),
}
LABELS = ("exception_class", "exception_status", "rate_limit_category", "rate_limit_type")


@pytest.mark.parametrize("case", COUNTED)
@pytest.mark.parametrize(("meaning", "kind"), [(Meaning.DENIALS, Kind.DENIED), (Meaning.FAST_FAILS, Kind.FAST_FAIL)])
def test_what_the_client_met_is_what_the_gateway_counts_under_that_meaning(case, meaning, kind):
    """A model that a key may not use is a denial to both, as a budget is; a limit is one to neither."""
    answer = answers("litellm")[case]
    target = OpenAITarget()
    reader = target.reader(target.compile(STEP, "asker"))
    reader.head(answer.status, answer.headers)
    reader.feed(answer.body, 1)
    counted = dict(zip(LABELS, COUNTED[case], strict=True))
    series = LITELLM_METRICS.meanings[meaning]
    is_counted = all(counted[label] in values for label, values in series.wanted.items())
    assert is_counted == (reader.end().kind is kind)


def test_a_label_may_have_one_of_several_values():
    """One value is given as it is, several as a tuple."""
    series = Series("calls_total", {"a": "one", "b": ("two", "three")})
    assert series.wanted == {"a": ("one",), "b": ("two", "three")}
    assert Series("calls_total").wanted == {}
