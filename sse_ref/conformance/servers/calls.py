"""The checks of tool calls of the profile ``openai-chat``: fragments, and what they make together.

In:   the exchanges of ``corpus/server/openai-chat.json`` whose requests have tools.
Out:  the checks of ``call/``, and of what goes with calls.

Follows the vendor's API reference, "Chat completions", tool_calls.
"""

from __future__ import annotations

from sse_ref.conformance.servers import chats
from sse_ref.conformance.servers.target import Failed, Skipped, Target, check, expect, in_each

__all__: list[str] = []  # each check is found in CHECKS, by the id of its vector


@check("call/index")
def call_index(target: Target) -> None:
    for fragment in chats.tool_stream(target).fragments:
        index = fragment.get("index") if isinstance(fragment, dict) else None
        expect(isinstance(index, int) and not isinstance(index, bool), f"the index of a fragment is {index!r}")


@check("call/index-dense")
@in_each("tool", "two-tools")
def call_index_dense(target: Target, name: str) -> None:
    indexes = list(dict.fromkeys(fragment.get("index") for fragment in chats.tool_stream(target, name).fragments))
    expect(indexes == list(range(len(indexes))), f"the indexes are {indexes}")


@check("call/first-fragment")
def call_first_fragment(target: Target) -> None:
    ids = []
    for fragments in chats.calls_of(chats.tool_stream(target)).values():
        first = fragments[0]
        expect(isinstance(first.get("id"), str) and first["id"], f"the id of a call is {first.get('id')!r}")
        ids.append(first["id"])
        expect(first.get("type") == "function", f"the type of a call is {first.get('type')!r}")
        name = chats.function_of(first).get("name")
        expect(name in ("get_weather", "get_time"), f"the name of a call is {name!r}")
    expect(len(ids) == len(set(ids)), f"two calls have the id {ids[0]!r}")


@check("call/later-fragments")
def call_later_fragments(target: Target) -> None:
    for fragments in chats.calls_of(chats.tool_stream(target)).values():
        for fragment in fragments[1:]:
            expect(not fragment.get("id"), f"a later fragment has the id {fragment.get('id')!r}")
            name = chats.function_of(fragment).get("name")
            expect(not name, f"a later fragment has the name {name!r}")


@check("call/function-object")
def call_function_object(target: Target) -> None:
    for fragment in chats.tool_stream(target).fragments:
        expect(
            isinstance(fragment.get("function"), dict), f"the function of a fragment is {fragment.get('function')!r}"
        )
        arguments = fragment["function"].get("arguments")
        expect(isinstance(arguments, str), f"the arguments of a fragment are {arguments!r:.80}")


@check("call/arguments")
def call_arguments(target: Target) -> None:
    for fragments in chats.calls_of(chats.tool_stream(target)).values():
        chats.arguments_of(fragments)


@check("call/finish-reason")
def call_finish_reason(target: Target) -> None:
    finish = chats.tool_stream(target).finish()
    expect(finish in (["tool_calls"], ["stop"]), f"the finish reasons are {finish}")


@check("call/parallel")
def call_parallel(target: Target) -> None:
    calls = chats.calls_of(chats.tool_stream(target, "two-tools"))
    names = [chats.function_of(fragments[0]).get("name") for fragments in calls.values()]
    for fragments in calls.values():
        chats.arguments_of(fragments)
        expect(len({f["id"] for f in fragments if f.get("id")}) <= 1, "two calls have the same index")
    if len(calls) < 2:
        raise Skipped("the model made one call, not two")
    expect(len(set(names)) == len(names), f"the names are {names}")
    finish = chats.chat_of(target, "two-tools").finish()
    expect(finish == ["tool_calls"], f"the finish reasons are {finish}")


@check("call/result")
def call_result(target: Target) -> None:
    exchange = target.get("tool-result")
    if exchange.status in (400, 422) and target.get("tool").status != 200:
        raise Skipped("the server does not take tools")
    chat = chats.Chat(exchange)
    expect(len(chat.finish()) == 1, f"the finish reasons are {chat.finish()}")


@check("call/none")
def call_none(target: Target) -> None:
    exchange = target.get("tool-none")
    if exchange.status in (400, 422):
        raise Skipped("the server does not take tools")
    try:
        fragments = chats.Chat(exchange).fragments
    except Skipped:
        return
    raise Failed(f"a call was made: {fragments[0]!r:.80}")


@check("call/fragments")
def call_fragments(target: Target) -> None:
    for fragments in chats.calls_of(chats.tool_stream(target)).values():
        parts = [part for fragment in fragments if (part := chats.function_of(fragment).get("arguments"))]
        if len("".join(map(str, parts))) < 20:
            raise Skipped("the arguments are short")
        expect(len(parts) >= 2, "all of the arguments came in one fragment")
