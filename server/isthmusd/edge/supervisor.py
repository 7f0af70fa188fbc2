"""One run of the gateway: workers, Envoy in front of them, the admin listener, start to drained. Never imports grpc.

    reserve ports -> start workers -> their sockets accept -> start Envoy -> it is live and /readyz is 200 -> ready
    signal -> Envoy's listeners drain -> no calls in flight -> Envoy ends -> workers end -> the recorder ends

A process that dies is started again, Envoy too: the calls it carried are lost either way, and its port is still ours.
A worker whose loop stands still (`pulse.py`) is ended, and so started again.
Only a process that cannot start at all ends the run.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import aiohttp

from isthmusd.edge import admin, bootstrap, envoy, pulse, recorder, workers
from isthmusd.edge.errors import ChildFailed, EdgeError
from isthmusd.edge.folder import private_folder
from isthmusd.edge.options import Address, EdgeOptions
from isthmusd.edge.ports import reserved
from isthmusd.edge.process import Kept
from isthmusd.edge.workers import Folder, Post

LOG = logging.getLogger(__name__)

WORKER = (sys.executable, "-P", "-m", "isthmusd.worker")
"""`-P`: the directory where somebody starts a gateway is no place to load code from."""
PATIENCE = pulse.Patience()
START_S = 60.0
POLL_S = 0.02
CHILD_GRACE_S = 5.0
"""What a process gets to end once nothing is in flight."""


class Supervisor:
    """Runs the gateway once: `await run()`. The first signal drains, the second one ends at once."""

    def __init__(
        self,
        options: EdgeOptions,
        settings: bytes,
        environ: Mapping[str, str],
        *,
        announce: Callable[[str], None],
        worker_argv: Sequence[str] = WORKER,
        patience: pulse.Patience = PATIENCE,
    ) -> None:
        self._options = options
        self._settings = settings
        self._environ = environ
        self._announce = announce
        self._worker_argv = worker_argv
        self._patience = patience
        self._stop_asked = asyncio.Event()
        self._now_asked = asyncio.Event()

    async def run(self) -> None:
        """Start everything, announce it, wait for a signal, drain. Raises EdgeError if it cannot start or go on."""
        _allow_many_files()
        with self._signals(), private_folder(self._settings) as folder:
            try:
                async with asyncio.TaskGroup() as owner:
                    await self._serve(folder, owner)
            except* EdgeError as group:
                raise _first(group) from None

    async def _serve(self, folder: Folder, owner: asyncio.TaskGroup) -> None:
        children: dict[str, Kept] = {}
        async with AsyncExitStack() as stack:
            stack.callback(_kill_all, children)
            listen = stack.enter_context(reserved(self._options.listen, "--listen"))
            admin_address = stack.enter_context(admin.reserved_address(self._options.admin))
            posts = workers.behind_envoy(folder, self._options.workers)
            if not self._options.with_envoy:
                posts = workers.alone(folder, listen, self._options.behind_envoy)
            admin_sockets = [folder.admin(post.index) for post in posts]
            recording = self._options.recording
            journal = None if recording is None else recording.records.journal
            await stack.enter_async_context(
                admin.serving(admin_address, folder, admin_sockets, lambda: _starts(children), journal)
            )
            LOG.info("admin listener at %s", admin.url(admin_address))
            started = self._start(folder, posts, listen, children, owner)
            if not await _unless(self._stop_asked, started):
                return
            self._announce(f"isthmus ready at {'http' if self._options.with_envoy else 'grpc'}://{listen}")
            await self._stop_asked.wait()
            await self._drain(folder, children)

    async def _start(
        self,
        folder: Folder,
        posts: Sequence[Post],
        listen: Address,
        children: dict[str, Kept],
        owner: asyncio.TaskGroup,
    ) -> None:
        for post in posts:
            command = workers.command(post, folder, self._worker_argv, self._environ)
            worker = Kept(command)
            watch = pulse.watch(command.name, Path(post.pulse), worker.abort, self._patience)
            children[command.name] = worker
            owner.create_task(_watched(worker, watch), name=command.name)
        if self._options.recording is not None:
            children[recorder.NAME] = Kept(recorder.command(self._options.recording, folder, self._environ))
            owner.create_task(children[recorder.NAME].run(), name=recorder.NAME)
        await _until(lambda: _all_accept(posts), children, "the workers to accept calls")
        if not self._options.with_envoy:
            return
        run = bootstrap.Embedding(
            listen=listen,
            admin_socket=folder.admin_socket,
            workers=[folder.socket(post.index) for post in posts],
            descriptor=bootstrap.packaged("isthmus.binpb"),
            cors_origins=self._options.cors_origins,
            request_bytes=self._options.request_bytes,
        )
        folder.envoy_config.write_bytes(bootstrap.render(run))
        command = envoy.command(folder.envoy_config, len(posts), self._environ)
        children[command.name] = Kept(command)
        owner.create_task(children[command.name].run(), name=command.name)
        interface = envoy.EnvoyAdmin(folder.admin_socket)
        # Both: /readyz alone could be another gateway's on the same port.
        await _until(interface.is_live, children, "Envoy to listen")
        await _until(lambda: _is_ready(listen), children, "a worker to be healthy")

    async def _drain(self, folder: Folder, children: dict[str, Kept]) -> None:
        LOG.info("draining: calls in flight may finish for %g s; a second signal ends them", self._options.drain_s)
        for child in children.values():
            child.expect_end()
        grace_s = CHILD_GRACE_S
        if self._options.with_envoy:
            await _unless(self._now_asked, envoy.EnvoyAdmin(folder.admin_socket).drain(self._options.drain_s))
            await children["envoy"].stop(CHILD_GRACE_S)
        else:
            grace_s = self._options.drain_s
        servers = [child.stop(grace_s) for name, child in children.items() if name not in ("envoy", recorder.NAME)]
        await _unless(self._now_asked, _all_of(servers))
        if recorder.NAME in children:
            # The last: what the workers left behind is stored now, or by the next run.
            await _unless(self._now_asked, children[recorder.NAME].stop(recorder.GRACE_S))

    @contextmanager
    def _signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            (self._now_asked if self._stop_asked.is_set() else self._stop_asked).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def _watched(child: Kept, watch: Coroutine[None, None, None]) -> None:
    watching = asyncio.ensure_future(watch)
    try:
        await child.run()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _kill_all(children: Mapping[str, Kept]) -> None:
    for child in children.values():
        child.kill()


def _starts(children: Mapping[str, Kept]) -> dict[str, int]:
    return {name: child.started_count for name, child in children.items()}


async def _all_accept(posts: Sequence[Post]) -> bool:
    return all([await workers.accepts(post) for post in posts])


async def _is_ready(listen: Address) -> bool:
    url = f"http://{Address(host=workers.reachable(listen.host), port=listen.port)}/readyz"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError):
        return False


async def _until(holds: Callable[[], Awaitable[bool]], children: Mapping[str, Kept], what: str) -> None:
    """Wait for a condition of the start, during which no process may die."""
    try:
        async with asyncio.timeout(START_S):
            while not await holds():
                for name, child in children.items():
                    if child.started_count > 1:
                        raise ChildFailed(f"{name} cannot start; what it said is above")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise ChildFailed(f"waited {START_S:g} s for {what}, in vain") from None


async def _unless(event: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Do the work unless the event comes first; tell whether it was done."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
        return working.done()
    finally:
        working.cancel()
        waiting.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


async def _all_of(works: Sequence[Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


def _first(group: BaseExceptionGroup[EdgeError]) -> EdgeError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _allow_many_files() -> None:
    """A stream is a socket or two: raise the soft limit, which the children inherit, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
