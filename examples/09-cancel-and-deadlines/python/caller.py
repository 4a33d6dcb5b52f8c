"""The Python caller: python caller.py WORKER"""

import asyncio
import sys

import procall


async def main() -> None:
    async with procall.aio.Pool(sys.argv[1], workers=1) as pool:
        # Every call has a deadline: 30 s, if nothing else is said.
        try:
            await pool.options(deadline=0.1).call("slowly", 60)
        except TimeoutError as error:
            print("too slow:", error.code)
        left = await pool.options(deadline=5).call("remaining")
        print("no more than 5 s:", "yes" if left <= 5 else left)
        left = await pool.options(deadline=None).call("remaining")
        print("no deadline:", "yes" if left is None else left)

        # A task that is cancelled cancels its call.
        task = asyncio.ensure_future(pool.call("slowly", 60))
        await pool.call("cancels")  # by now the worker has that one too
        task.cancel()
        outcome, *_ = await asyncio.gather(task, return_exceptions=True)
        print("cancelled:", "yes" if isinstance(outcome, asyncio.CancelledError) else outcome)

        # The worker sees it a moment later.
        while await pool.call("cancels") < 2:
            pass
        print("the worker knows of both")


asyncio.run(main())
