"""``procall dev`` with workers of Python: under load, with mistakes, with modules of their own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import procall
import pytest
from engines import Process, command

SERVICE = """
import procall

from words import WORD

shop = procall.Service("shop")


@shop.method
def word() -> str:
    return WORD


shop.run()
"""


class Place:
    """A folder with a service, and ``procall dev`` that serves it."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.chmod(0o700)
        self.folder = folder
        self.write("words.py", 'WORD = "one"\n')
        self.write("shop.py", SERVICE)
        kept = {name: os.environ[name] for name in os.environ if not name.startswith("PROCALL_")}
        self.environment = {**kept, "XDG_RUNTIME_DIR": str(folder), "VIRTUAL_ENV": sys.prefix}
        argv = [command(), "dev", str(folder / "shop.py"), "--workers", "2"]
        self.dev = Process(argv, self.environment)
        self.dev.said("shop  2 workers of")
        self.address = f"unix:{folder / 'procall' / 'shop.sock'}"

    def write(self, name: str, text: str) -> None:
        new = self.folder / f".{name}"
        new.write_text(text)
        new.rename(self.folder / name)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.dev.end()


def test_a_change_under_load_fails_no_call(place: Place) -> None:
    over, begun = threading.Event(), threading.Barrier(5, timeout=60)
    seen: list[set[str]] = [set() for _ in range(4)]
    failed: list[procall.Error] = []

    def load(words: set[str]) -> None:
        with procall.connect(place.address) as client:
            words.add(client.call("shop.word"))
            begun.wait()
            while not over.is_set():
                try:
                    words.add(client.options(retries=0).call("shop.word"))
                except procall.Error as error:
                    failed.append(error)
                    return

    threads = [threading.Thread(target=load, args=(words,)) for words in seen]
    for thread in threads:
        thread.start()
    try:
        begun.wait()
        with procall.connect(place.address) as client:
            for word in ("two", "six", "ten"):
                place.write("words.py", f'WORD = "{word}"\n')
                assert "words.py has changed" in place.dev.said("has changed")
                place.dev.said("shop  reloaded: 2 workers, 1 method")
                assert client.call("shop.word") == word
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert all("one" in words and len(words) > 1 for words in seen), seen


def test_a_mistake_keeps_the_workers_until_it_is_repaired(place: Place) -> None:
    with procall.connect(place.address) as client:
        place.write("shop.py", SERVICE.replace("-> str:", "-> str"))
        place.dev.said("SPAWN_FAILED")
        place.dev.said("SyntaxError: expected ':'")
        place.dev.said("shop was not reloaded: the workers from before serve on")
        assert client.call("shop.word") == "one"
        place.write("shop.py", SERVICE.replace("return WORD", "return WORD.upper()"))
        place.dev.said("shop  reloaded")
        assert client.call("shop.word") == "ONE"


def test_a_client_that_is_connected_sees_new_methods(place: Place) -> None:
    with procall.connect(place.address) as client:
        assert client.call("shop.word") == "one"
        more = "@shop.method\ndef length() -> int:\n    return len(WORD)\n\n\nshop.run()"
        place.write("shop.py", SERVICE.replace("shop.run()", more))
        place.dev.said("shop  reloaded: 2 workers, 2 methods")
        assert client.call("shop.length") == 3
    listed = subprocess.run(
        [command(), "ls", "--json"],
        env=place.environment,
        capture_output=True,
        check=True,
    )
    (service,) = json.loads(listed.stdout)["services"]
    assert [method["name"] for method in service["methods"]] == ["shop.word", "shop.length"]
