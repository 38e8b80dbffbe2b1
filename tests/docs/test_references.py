# SPDX-License-Identifier: Apache-2.0
"""What the documents point at exists: files, sections of other documents, functions and constants."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/*/*.md")])
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAME = re.compile(r"\b(?:nx_\w+|NX_\w+|[a-z]+(?:_[a-z0-9]+)+)\b")
PATH = re.compile(r"^(?:src|tests|scripts|cmake|docs|examples|bench|\.ci)/[\w./-]*$")
# A pattern for names, not one.
FOREIGN = {"nx_module_verb"}


SUFFIXES = {".c", ".h", ".js", ".py", ".sh", ".cmake", ".txt", ".patch"}


def prose(text):
    """The text without its fenced blocks."""
    return re.sub(r"^(`{3,}).*?^\1[ \t]*$", "", text, flags=re.S | re.M)


def words_of_sources(root):
    words = set()
    for folder in ("src", "tests", "bench", "scripts", "cmake"):
        for path in pathlib.Path(root, folder).rglob("*"):
            relative = path.relative_to(root)
            if path.is_file() and relative.parts[:2] != ("tests", "docs") and path.suffix in SUFFIXES:
                words.add(path.stem)
                words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8", errors="replace")))
    return words


def anchors(text):
    """The anchors of a document's headings, as forges make them."""
    titles = re.findall(r"^#+ (.+?)\s*$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-") for title in titles}


def broken_links(path, root):
    for target in LINK.findall(prose(path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or not str(file).startswith(str(root)):
            yield target
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield target


def unknown_names(text, words, ours_only=False):
    """Names in `code` that the sources do not have; `ours_only`: those that begin as ours do."""
    for code in CODE.findall(prose(text)):
        for name in NAME.findall(re.sub(r"\S+=\S*", "", code)):  # a variable and its value
            ours = name.startswith(("nx_", "NX_")) or not ours_only
            if ours and name not in words and name not in FOREIGN:
                yield name


def missing_files(text, root):
    for code in CODE.findall(prose(text)):
        if PATH.match(code) and not re.search(r"FOLDER|NAME", code) and not pathlib.Path(root, code).exists():
            yield code


@pytest.fixture(scope="module", name="words")
def read_words():
    return words_of_sources(ROOT)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_references(path, words):
    text = path.read_text(encoding="utf-8")
    assert not list(broken_links(path, ROOT))
    # Records speak of what was not taken, too.
    assert not sorted(set(unknown_names(text, words, ours_only="adr" in path.parts)))
    assert not list(missing_files(text, ROOT))


@pytest.mark.parametrize("index, pages", [("README.md", "docs/*.md"), ("docs/adr/README.md", "docs/adr/[0-9]*.md")])
def test_every_page_is_listed(index, pages):
    index = ROOT / index
    linked = {(index.parent / target).resolve() for target in LINK.findall(index.read_text(encoding="utf-8"))}
    found = set(ROOT.glob(pages))
    assert found and found <= linked


def test_words_are_read(words):
    assert {"nx_runtime_trigger", "put_state", "NX_MAX_FRAME_BYTES", "same_value"} <= words


def test_broken_references_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# A title, here\n")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md#a-title-here) [b](other.md#none) [c](gone.md) `nx_gone` `put_state()` "
                    "`src/gone.c` [d](#top)\n\n# Top\n\n```sh\n`nx_in_block`\n[e](gone2.md)\n```\n")
    assert list(broken_links(page, tmp_path)) == ["other.md#none", "gone.md"]
    assert list(unknown_names(page.read_text(), {"put_state"})) == ["nx_gone"]
    assert list(unknown_names(page.read_text(), set(), ours_only=True)) == ["nx_gone"]
    assert list(unknown_names(page.read_text(), {"nx_gone"})) == ["put_state"]
    assert list(missing_files(page.read_text(), tmp_path)) == ["src/gone.c"]
