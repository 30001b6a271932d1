"""What of the earlier conversation a model with few languages is shown."""

from ai_engine.assistant.messages import readable


def _m(role, text):
    return {"role": role, "content": text}


def test_exchanges_in_an_unknown_script_are_left_out_as_pairs():
    conversation = [
        _m("system", "Be brief. 请简短。"),
        _m("user", "北京天气"),
        _m("assistant", "sunny"),
        _m("user", "hello"),
        _m("assistant", "hi"),
        _m("user", "weather?"),
        _m("assistant", "晴"),
        _m("user", "tell me a joke"),
    ]
    shown = [m["content"] for m in readable(conversation, ["en"])]
    assert shown == ["Be brief. 请简短。", "hello", "hi", "tell me a joke"]


def test_a_model_of_all_languages_is_shown_everything():
    conversation = [_m("user", "北京天气"), _m("assistant", "晴"), _m("user", "hi")]
    assert readable(conversation, ["*"]) is conversation


def test_the_newest_message_and_its_tool_rounds_stay():
    conversation = [
        _m("user", "weather in Beijing"),
        {"role": "assistant", "content": None, "tool_calls": []},
        _m("tool", "北京: 晴"),
    ]
    assert list(readable(conversation, ["en"])) == conversation
