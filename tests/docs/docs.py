"""Runs the code of the documentation.

docs.py [PAGE...]
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pages import Wrong, read
from running import ROOT, Page


def pages() -> list[Path]:
    """All that readers get."""
    readmes = [
        ROOT / "README.md",
        ROOT / "bindings/python/README.md",
        ROOT / "bindings/node/README.md",
    ]
    return readmes + sorted((ROOT / "docs" / "src").rglob("*.md"))


def attempt(page: Path) -> tuple[list[str], int, int]:
    """The report on a page, how many blocks did what they should, and whether one did not."""
    report: list[str] = []
    done = 0
    shown = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
    with tempfile.TemporaryDirectory() as place:
        folder = Page(Path(place))
        where = f"{shown}"
        try:
            for block in read(page):
                where = f"{shown}:{block.line}"
                what = folder.take(block)
                if what.startswith("not run"):
                    report.append(f"      {where} {what}")
                elif what:
                    done += 1
            where = f"{shown}"
        except (Wrong, SyntaxError) as error:
            report.append(f"FAIL  {where}: {error}")
            return report, done, 1
        finally:
            # Also after a block that failed: nothing of a page is left.
            folder.end()
    report.insert(0, f"ok    {shown}: {done} blocks")
    return report, done, 0


def main() -> int:
    asked = [Path(name).resolve() for name in sys.argv[1:]] or pages()
    failed = done = 0
    # The pages have nothing to do with each other.
    with ThreadPoolExecutor(2) as threads:
        for report, blocks, wrong in threads.map(attempt, asked):
            if report[0].startswith("FAIL") or blocks or len(report) > 1:
                print(*report, sep="\n", flush=True)
            done += blocks
            failed += wrong
    print(f"{done} passed, {failed} failed")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
