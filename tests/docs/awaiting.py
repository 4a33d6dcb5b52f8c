"""Runs a program that awaits outside of functions, as notebooks and `python -m asyncio` do.

python awaiting.py PROGRAM
"""

import ast
import asyncio
import inspect
import sys
from pathlib import Path

path = sys.argv[1]
sys.path[0] = ""
code = compile(Path(path).read_text(), path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
result = eval(code, sys.modules["__main__"].__dict__)
if inspect.iscoroutine(result):
    asyncio.run(result)
