"""Clients for a service of the same process, over a link in memory."""

from __future__ import annotations

import threading

from procall import _client, _native, aio
from procall._native import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from procall._service import Service


def client(service: Service) -> _client.Client:
    """See ``Service.client``."""
    serving = Serving(service)
    try:
        return Client(_native.greet_own(serving.found), serving)
    except BaseException:
        serving.end()
        raise


class Serving:
    """A service that serves one client, on a thread of its own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._server: Server | None = None
        self._failure: BaseException | None = None
        self._opened = threading.Event()
        service._settled()
        name = f"procall-{service.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    found: _native.Found

    def _run(self) -> None:
        from procall import _serving

        try:
            _serving.serve(self._service, self._open, _nothing)
        except SystemExit:
            # A handler has ended the service; its client sees that.
            pass
        except BaseException as error:
            if self._opened.is_set():
                raise
            self._failure = error
        finally:
            self._opened.set()

    def _open(self, hub: _native.Hub | None) -> Server:
        service = self._service
        self._server, self.found = Server.in_memory(
            service.document(), service._handlers(), hub, service._threads > 0
        )
        self._opened.set()
        return self._server

    def end(self) -> None:
        """Ends it, and waits until no handler of it runs."""
        if self._server is not None:
            self._server.stop()
        # A handler may close the client that it serves.
        if self._thread is not threading.current_thread():
            self._thread.join()


def _nothing(_server: Server) -> None: ...


class Client(_client.Client):
    """A client and the service that it calls."""

    def __init__(self, caller: _native.Caller, serving: Serving) -> None:
        super().__init__(caller)
        self._serving = serving

    def close(self) -> None:
        """Ends the client and the service behind it: calls that wait or run end with
        ``Closed``.
        """
        super().close()
        self._serving.end()


class AioClient(aio.Client):
    """The same for asyncio."""

    def __init__(self, caller: _native.Caller, serving: Serving) -> None:
        super().__init__(caller)
        self._serving = serving

    async def close(self) -> None:
        """Ends the client and the service behind it: calls that wait or run end with
        ``Closed``.
        """
        import asyncio

        await super().close()
        await asyncio.to_thread(self._serving.end)


def aio_client(service: Service) -> aio.Opening:
    """A client of the service for asyncio: await it, or enter it."""

    async def start() -> aio.Client:
        import asyncio

        serving = await asyncio.to_thread(Serving, service)
        try:
            caller = await _native.greet(aio.running_hub(), serving.found, None)
            return AioClient(caller, serving)
        except BaseException:
            serving.end()
            raise

    return aio.Opening(start)
