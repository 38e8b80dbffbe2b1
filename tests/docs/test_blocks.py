# SPDX-License-Identifier: Apache-2.0
"""The comparison of documents and output fires on a wrong document and leaves a right one alone."""
import blocks
import pytest


def only(text):
    found = [block for block in blocks.fences(text) if block.language == blocks.COMMAND]
    assert len(found) == 1
    return found[0]


def test_fences_and_their_lines():
    text = "# Title\n\n```sh\na\nb\n```\n\n```text\nout\n```\nwords\n```json\n{}\n```\n"
    found = blocks.fences(text)
    assert [(f.language, f.line) for f in found] == [("sh", 4), ("text", 9), ("json", 13)]
    assert found[0].output is found[1] and found[0].first_line == "a"


def test_output_must_follow_at_once():
    assert only("```sh\na\n```\nThen:\n```text\nout\n```\n").output is None


@pytest.mark.parametrize("expected, output, fine", [
    (["one", "two"], "one\ntwo\n", True),
    (["one", "two"], "two\none\n", False),
    (["one"], "a  line with one in it", True),
    (["a b"], "a   b", True),
    (["a…c"], "abc", True),
    (["a…c"], "ab\nc", False),
    (["…", "x"], "y\nx", True),
    (["x."], "xy", False),
    (["x", "x"], "x\n", False),
])
def test_lines(expected, output, fine):
    assert (blocks.missing_line(expected, output) is None) == fine


@pytest.mark.parametrize("expected, actual, fine", [
    ({"a": 1}, {"a": 1, "b": 2}, True),
    ({"a": 1, "b": 2}, {"a": 1}, False),
    ({"a": 1}, {"a": True}, False),
    ({"a": "…"}, {"a": {"b": 1}}, True),
    ({"a": "x…"}, {"a": "xyz"}, True),
    ({"a": "x…"}, {"a": "z"}, False),
    ([1, 2], [1, 2], True),
    ([1], [1, 2], False),
    ([1, "…"], [1, 2], True),
    ([], [1], False),
    ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}, False),
])
def test_json(expected, actual, fine):
    assert (blocks.json_difference(expected, actual) is None) == fine


def test_what_a_block_says_is_compared():
    block = only("```sh\nnexus x  # → valid\n```\n```json\n{\"a\": 1}\n```\n")
    assert blocks.difference(block, 'file: valid\n{"a":1,"b":2}\n') is None
    assert blocks.difference(block, 'file: invalid!\n{"a":2}\n') is not None
    assert blocks.difference(block, '{"a":1}\n') == "no line with: valid"
    assert blocks.difference(block, "valid\n") == "no JSON"


def test_pretty_json_is_read_as_a_whole():
    assert blocks.last_json('{\n "a": [\n  1\n ]\n}\n') == {"a": [1]}
    assert blocks.last_json('log\n{"a":1}\n{"b":2}\n') == {"b": 2}
    assert blocks.last_json("nothing") is None
