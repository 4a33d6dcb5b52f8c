"""The Python caller: python caller.py WORKER"""

import sys

import procall

with procall.Pool(sys.argv[1], workers=1) as pool:
    for method in sorted(pool.methods(), key=lambda method: method.name):
        print(method.name)
        print("   right:", pool.call(method.name, order={"name": "tea"}))
        try:
            pool.call(method.name, order={"name": "tea", "count": "many"})
        except procall.InvalidArgument as error:
            print("   wrong:", *(field.path for field in error.fields))
