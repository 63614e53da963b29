"""The models of a server: by name and version, opened, replaced and closed while requests go on."""

from __future__ import annotations

import asyncio
import gc
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from residua._base.errors import ResiduaError
from residua.serving.logs import log
from residua.serving.metrics import Metrics
from residua.serving.model import ModelVersion
from residua.serving.networks.sources import NAME, Sources, in_repository
from residua.serving.refusal import Refusal
from residua.serving.settings import Settings
from residua.serving.statistics import Statistics

_OPENERS = 4


class Catalogue(ABC):
    """What a server serves, by name and version."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, ModelVersion]] = {}

    @property
    def ready(self) -> bool:
        """Whether everything that is served can answer now."""
        return all(not version.failed for versions in self._models.values() for version in versions.values())

    @property
    def is_opening(self) -> bool:
        """Whether a thread of this process opens a model."""
        return False

    def get(self, name: str, version: str | None = None) -> ModelVersion:
        """Return a version, by default the one with the greatest number.

        Raises:
            Refusal: no such model or version.
        """
        versions = self._models.get(name)
        if not versions:
            raise Refusal(404, f"no model {name[:80]!r} is loaded", "unknown")
        number = max(versions, key=int) if version is None else version
        if number not in versions:
            raise Refusal(404, f"model {name!r} has no version {number[:20]!r}", "unknown")
        return versions[number]

    def first(self) -> ModelVersion:
        """Return the model that was named first.

        Raises:
            Refusal: none is loaded.
        """
        if not self._models:
            raise Refusal(503, "no model is loaded", "not_ready")
        return self.get(next(iter(self._models)))

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model that are served, ascending."""
        return sorted(self._models.get(name, {}), key=int)

    def all(self) -> list[ModelVersion]:
        """Return every version that is served."""
        return [self.get(name, number) for name in self._models for number in self.versions(name)]

    @abstractmethod
    async def stats(self, versions: Sequence[ModelVersion]) -> list[dict[str, Any]]:
        """Return the protocol's statistics of some versions."""

    @abstractmethod
    async def index(self) -> list[dict[str, str]]:
        """Return the protocol's index: what is served, and what the repository holds besides."""

    @abstractmethod
    async def load(self, name: str) -> None:
        """Open all versions of a model and serve them in place of those before, which finish their requests.

        Raises:
            Refusal: no such model in the repository, or one that cannot be opened: then what was served stays.
        """

    @abstractmethod
    async def unload(self, name: str) -> None:
        """Stop serving a model; requests that are under way are answered.

        Raises:
            Refusal: it is not served.
        """

    @abstractmethod
    async def close(self) -> None:
        """Stop all models, after what they have begun."""


class Models(Catalogue):
    """The models of a server.

    Args:
        settings: of the server.
        metrics: of the server.
        fatal: called with a reason when a model broke and could not be opened again, or hangs; and whether it hangs.
        changed: awaited after what is served has changed, before whoever changed it is answered.
        sources: what can be loaded by name besides what the repository holds and what was put.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        fatal: Callable[[str, bool], None],
        changed: Callable[[], Awaitable[None]] | None = None,
        sources: Sources | None = None,
    ) -> None:
        super().__init__()
        self._settings, self._metrics, self._fatal = settings, metrics, fatal
        self._changed = changed or _nothing
        self._sources: dict[str, Mapping[str, Path | str]] = dict(sources or {})
        self._errors: dict[str, str] = {}
        self._ranks: dict[str, int] = {}
        self._changing = asyncio.Lock()
        self._busy: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarts: set[asyncio.Task[None]] = set()
        # Not the event loop's own: that waits, at its end, for what it runs.
        self._opener = ThreadPoolExecutor(_OPENERS, "residua-open")
        self._openings: set[Future[ModelVersion]] = set()

    def put(self, opened: Iterable[ModelVersion]) -> None:
        """Serve versions that are open; others of the same names go."""
        fresh: dict[str, dict[str, ModelVersion]] = {}
        for version in opened:
            fresh.setdefault(version.name, {})[version.version] = version
        for name, versions in fresh.items():
            before = self._models.get(name, {})
            for number, version in versions.items():
                self._start(version, before.get(number))
            self._models[name] = versions
            self._ranks.setdefault(name, len(self._ranks))
            self._sources[name] = {number: version.source for number, version in versions.items()}
            for number, version in before.items():
                self._retire(version, gone=number not in versions)
        # Who was named first stays first when it is loaded again: the page and /predict answer by it.
        self._models = {name: self._models[name] for name in sorted(self._models, key=self._ranks.__getitem__)}

    def sources(self) -> dict[str, dict[str, str]]:
        """Return where what is served was loaded from, by name and version."""
        return {name: {n: str(v.source) for n, v in versions.items()} for name, versions in self._models.items()}

    async def stats(self, versions: Sequence[ModelVersion]) -> list[dict[str, Any]]:
        """See `Catalogue`."""
        return [each.statistics.to_dict() for each in versions]

    async def index(self) -> list[dict[str, str]]:
        """See `Catalogue`."""
        entries = []
        for name in sorted({*self._models, *self._in_repository()}):
            state = self._busy.get(name)
            for number in self.versions(name):
                entries.append(_entry(name, number, state or "READY", self._errors.get(name, "")))
            if name not in self._models:
                entries.append(_entry(name, "", state or "UNAVAILABLE", self._errors.get(name, "not loaded")))
        return entries

    async def load(self, name: str) -> None:
        """See `Catalogue`."""
        async with self._changing:
            sources = self._found(name)
            self._busy[name] = "LOADING"
            try:
                opened = [await self._opened(name, number, source) for number, source in sources.items()]
            except (ResiduaError, OSError) as error:
                log("load_failed", model=name, reason=str(error))
                self._errors[name] = _without_folders(str(error), sources.values())[:500]
                raise Refusal(400, f"{name} could not be loaded: {self._errors[name]}", "malformed") from None
            except Exception as error:
                self._errors[name] = f"a fault of the server ({type(error).__name__}); its log has the details"
                raise
            finally:
                del self._busy[name]
            self._errors.pop(name, None)
            self.put(opened)
            await self._changed()

    async def unload(self, name: str) -> None:
        """See `Catalogue`."""
        async with self._changing:
            if name not in self._models:
                raise Refusal(404 if name not in self._in_repository() else 400, f"no model {name[:80]!r} is loaded")
            for version in self._models.pop(name).values():
                self._retire(version, gone=True)
            self._errors.pop(name, None)
            await self._changed()

    async def close(self) -> None:
        """Stop all models, after what they have begun; what is being opened is given up."""
        self._opener.shutdown(wait=False, cancel_futures=True)
        for task in self._restarts:
            task.cancel()
        for version in self.all():
            self._retire(version, gone=False)
        self._models.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_opening(self) -> bool:
        """See `Catalogue`."""
        return any(not each.done() for each in self._openings)

    async def _opened(self, name: str, number: str, source: Path | str) -> ModelVersion:
        """Open a version in a thread, which goes on where nobody waits for it any more."""
        opening = self._opener.submit(ModelVersion.open, name, number, source, self._settings)
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)
        return await asyncio.wrap_future(opening)

    def _found(self, name: str) -> Mapping[str, Path | str]:
        if not NAME.fullmatch(name):
            raise Refusal(400, f"{name[:80]!r} is no name of a model")
        sources = self._in_repository().get(name) or self._sources.get(name)
        if not sources:
            raise Refusal(404, f"the repository has no model {name!r}", "unknown")
        return sources

    def _in_repository(self) -> dict[str, Mapping[str, Path | str]]:
        root = self._settings.repository
        return {} if root is None else in_repository(root)

    async def _restart(self, version: ModelVersion) -> None:
        """Open a version again whose engine failed several times; give up the process where that fails, too."""
        version.failed = "its engine failed"
        log("engine_failed", model=version.name, version=version.version)
        await self._changed()
        try:
            fresh = await self._opened(version.name, version.version, version.source)
        except Exception as error:
            # A client may have unloaded or replaced it meanwhile: then nothing that is served is broken.
            if self._models.get(version.name, {}).get(version.version) is version:
                self._fatal(f"{version.name}: its engine failed and could not be opened again ({error})", False)
            return
        versions = self._models.get(version.name, {})
        if versions.get(version.version) is version:
            self._start(fresh, version)
            versions[version.version] = fresh
            self._retire(version, gone=False)
            await self._changed()
            log("engine_restarted", model=version.name, version=version.version)

    def _start(self, version: ModelVersion, before: ModelVersion | None) -> None:
        """Let a version take images; its statistics go on from those of the one before."""
        statistics = before.statistics if before else Statistics(self._metrics, version.name, version.version)
        version.start(statistics, lambda: self._begin_restart(version), lambda: self._hang(version))

    def _begin_restart(self, version: ModelVersion) -> None:
        task = self._keep(self._restart(version))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    def _hang(self, version: ModelVersion) -> None:
        version.failed = "its engine does not return"
        self._fatal(
            f"{version.name}: a forward pass or an explanation has not returned after {self._settings.stall:g} s", True
        )

    def _retire(self, version: ModelVersion, *, gone: bool) -> None:
        async def retire() -> None:
            await version.close()
            await asyncio.sleep(0)
            # Its parts refer to each other: hundreds of megabytes must not wait for the collector's own time.
            gc.collect()
            if gone and version.version not in self._models.get(version.name, {}):
                self._metrics.forget(version.name, version.version)

        self._keep(retire())

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _without_folders(text: str, sources: Iterable[Path | str]) -> str:
    """Return what went wrong, for clients: where on this machine a model lies is in the log alone."""
    for source in sources:
        for path in {Path(source), Path(source).absolute(), Path(source).resolve()}:
            text = text.replace(f"{path.parent}{os.sep}", "")
    return text


async def _nothing() -> None:
    pass


def _entry(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, **({"version": version} if version else {}), "state": state, "reason": reason}
