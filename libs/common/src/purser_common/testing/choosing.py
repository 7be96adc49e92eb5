"""Which servers a test run uses."""

import os
import socket
import warnings
from collections.abc import Callable, Mapping

from purser_common.testing.running import Launcher
from purser_common.testing.servers import KAFKA_IMAGE, MONGO_IMAGE, Servers


def choose(
    launcher: Callable[[], Launcher],
    environ: Mapping[str, str] = os.environ,
    *,
    private: bool = False,
) -> Servers:
    """Servers from TEST_KAFKA and TEST_MONGO_URL, else containers, else local processes; not started.

    `private` ones are never those of the environment. TEST_SERVERS=docker or local insists on a kind.
    Raises RuntimeError when there are none to be had; `launcher` raises what it misses.
    """
    named, wanted = (
        [environ.get(n) for n in ("TEST_KAFKA", "TEST_MONGO_URL")],
        environ.get("TEST_SERVERS", ""),
    )
    if any(named) and not all(named):
        raise RuntimeError("TEST_KAFKA and TEST_MONGO_URL go together: set both or neither")
    if wanted not in ("", "docker", "local"):
        raise RuntimeError(f"TEST_SERVERS={wanted} is neither docker nor local")
    if named[0] and named[1] and not private:
        return Servers.elsewhere(named[0], named[1])
    if wanted == "local":
        return Servers.processes(launcher(), "TEST_SERVERS=local")
    refusal = _docker_refusal()
    if refusal is None:
        return Servers.containers("a Docker daemon answers and has the images")
    if wanted == "docker":
        raise RuntimeError(f"TEST_SERVERS=docker, but {refusal}")
    return Servers.processes(launcher(), refusal)


def _docker_refusal() -> str | None:
    """Why there are no containers here; None when there are."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://") and not _listens(address.removeprefix("unix://")):
        return "no Docker daemon answers"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import docker  # type: ignore[import-untyped]
        from docker.errors import DockerException  # type: ignore[import-untyped]
    try:
        client = docker.from_env(timeout=60)
    except (DockerException, OSError):
        return "no Docker daemon answers"
    image = KAFKA_IMAGE
    try:
        for image in (KAFKA_IMAGE, MONGO_IMAGE):
            if not client.images.list(name=image):
                client.images.pull(image)
    except (DockerException, OSError):
        return f"the Docker daemon neither has nor may pull {image}"
    finally:
        client.close()
    return None


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
