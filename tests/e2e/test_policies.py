"""No text of a policy ends the Worker: what is at the bound is taken and decided by, what is beyond it is 400."""

import pytest
from hub import READ

STATEMENT = 'permit(principal == Client::"nobody", action, resource)'
# The deepest that each way of nesting may be, and how it is written `n` deep. 264 operators or clauses, or 84 pairs of brackets,
# would overflow the stack.
WAYS = {
    "when": (47, lambda n: f"{STATEMENT}{' when { context.dpop }' * n};"),
    "unless": (46, lambda n: f"{STATEMENT}{' unless { !context.dpop }' * n};"),
    "and": (46, lambda n: condition("context.dpop" + " && context.dpop" * n)),
    "or": (46, lambda n: condition("context.dpop" + " || context.dpop" * n)),
    "plus": (46, lambda n: condition("1 + " * n + "context.now > 0")),
    "else": (46, lambda n: condition("if context.dpop then false else " * n + "true")),
    "brackets": (23, lambda n: condition("(" * n + "context.dpop" + ")" * n)),
    "not": (15, lambda n: condition("!(" * n + "context.dpop" + ")" * n)),
    "sets": (15, lambda n: condition("[" * n + "1" + "]" * n + " == " + "[" * n + "1" + "]" * n)),
    "records": (23, lambda n: condition("{a: " * n + "1" + "}" * n + " == " + "{a: " * n + "1" + "}" * n)),
    "conditions": (11, lambda n: condition("(if context.dpop then " * n + "true" + " else false)" * n)),
}


def condition(text: str) -> str:
    return f"{STATEMENT} when {{ {text} }};"


@pytest.mark.parametrize("way", WAYS)
def test_a_policy_at_the_bound_is_decided_by_and_one_beyond_it_is_refused(shop, way):
    deepest, text = WAYS[way]
    writ, path = shop.writ, f"policies/e2e-depth-{way}"
    # It concerns the reader, so that it is parsed and evaluated for its token.
    at_the_bound = text(deepest).replace("nobody", shop.reader.client_id).replace("permit", "forbid", 1)
    body = {"cedar": f"@description(\"deep\")\n{at_the_bound}", "mode": "shadow"}
    writ.put(path, body)
    for beyond in (4 * deepest, 320, 900):
        answer = writ.admin("PUT", f"{path}-beyond", json={"cedar": text(beyond), "mode": "enforce"})
        assert answer.status_code == 400 and "deeper than" in answer.json()["detail"], answer.text
    assert shop.token(shop.reader, READ)
    writ.admin("DELETE", path, 204)
