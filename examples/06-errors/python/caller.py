"""The Python caller: python caller.py WORKER"""

import sys

import procall
from not_an_image import NotAnImage

procall.register_error(NotAnImage)


def tell(error: procall.Error) -> None:
    print(f"{error.code}: executed {error.executed}, retryable {str(error.retryable).lower()}")


with procall.Pool(sys.argv[1], workers=1) as pool:
    try:
        pool.call("width", "notes.txt")
    except NotAnImage as error:  # its own class, with its own members
        print("not an image:", error.path)

    for method, *arguments in [("divide", 1, 0), ("divide", 1), ("multiply", 1, 2), ("crash",)]:
        try:
            pool.call(method, *arguments)
        except procall.Error as error:
            tell(error)

try:
    procall.connect("nobody", timeout=0)
except ConnectionError as error:  # each code is also the builtin that it resembles
    tell(error)
