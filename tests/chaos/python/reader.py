"""Reads a stream with pauses, and says what it saw: reader.py ADDRESS ID N MOST"""

import json
import sys
import time

import procall

address, (id, n, most) = sys.argv[1], map(int, sys.argv[2:])
seen = {"items": 0, "wrong": 0, "error": None}
with procall.connect(address) as client:
    try:
        for at, content in client.stream("chaos.count", id, n, most):
            whole = content == bytes([at & 255]) * ((at * 7919 + id) % (most + 1))
            seen["wrong"] += at != seen["items"] or not whole
            seen["items"] += 1
            if at % 47 == 0:
                time.sleep(0.01)
    except procall.Error as error:
        seen["error"] = error.code
print(json.dumps(seen))
