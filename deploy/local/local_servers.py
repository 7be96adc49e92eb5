"""Kafka and MongoDB as processes of this machine: what they need, and how they are prepared and run.

`python deploy/local/local_servers.py fetch` gets the jars and compiles the stand-in. Standard library only.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOOLS = ROOT / ".tools"

_JAVA = 17
_JDK = (
    f"a Java {_JAVA} or newer development kit (Debian, Ubuntu: `apt install openjdk-17-jdk-headless`; "
    "macOS: `brew install openjdk@17`), on PATH or in JAVA_HOME"
)
_MAVEN = "Maven (Debian, Ubuntu: `apt install maven`; macOS: `brew install maven`)"


Doors = Sequence[tuple[int, int]]
"""Further listeners of Kafka: its own port, and the one at which clients of that door find it."""


class Missing(Exception):
    """Something that this machine must have; the message says how to get it."""


@dataclass(frozen=True)
class Tools:
    """The programs that the two servers run on."""

    java: str
    jars: Path
    classes: Path
    mongod: str | None = None

    def kafka(self, home: Path, port: int, controller: int, doors: Doors = ()) -> list[str]:
        """The command that serves Kafka; its storage in `home` is formatted when it is new."""
        home.mkdir(parents=True, exist_ok=True)
        properties = home / "kafka.properties"
        template = Template((HERE / "kafka.properties").read_text(encoding="utf-8"))
        text = template.substitute(
            home=home,
            port=port,
            controller=controller,
            doors="".join(f",DOOR{own}://127.0.0.1:{own}" for own, _ in doors),
            advertised="".join(f",DOOR{own}://127.0.0.1:{other}" for own, other in doors),
            protocols="".join(f",DOOR{own}:PLAINTEXT" for own, _ in doors),
        )
        properties.write_text(text, encoding="utf-8")
        run = [self.java, "-Xmx256m", *_JVM, "-cp", f"{self.jars}/*"]
        if not (home / "kafka" / "meta.properties").exists():
            # a half-formatted directory is one that nothing was ever written to
            shutil.rmtree(home / "kafka", ignore_errors=True)
            format_ = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c"]
            _checked([*run, *format_, str(properties)], "Kafka's storage cannot be formatted")
        return [*run, "kafka.Kafka", str(properties)]

    def mongo(self, home: Path, port: int) -> list[str]:
        """The command that serves MongoDB: a real mongod, else the stand-in."""
        if self.mongod:
            data = home / "mongod"
            data.mkdir(parents=True, exist_ok=True)
            where = ["--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1"]
            return [self.mongod, "--quiet", *where]
        home.mkdir(parents=True, exist_ok=True)
        path = f"{self.classes}{os.pathsep}{self.jars}/*"
        run = [self.java, "-Xmx256m", *_JVM, "-cp", path]
        return [*run, "LocalMongo", str(port), str(home / "mongo.h2")]

    @property
    def mongo_is(self) -> str:
        """Which MongoDB it is, in words."""
        return self.mongod or "the stand-in"


_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def find(tools: Path = TOOLS, environ: Mapping[str, str] = os.environ) -> Tools:
    """What is installed. Raises Missing."""
    java = java_command(environ)
    mongod = environ.get("MONGOD") or shutil.which("mongod", path=environ.get("PATH"))
    if mongod and not os.access(mongod, os.X_OK):
        raise Missing(f"MONGOD names {mongod}, which is no program: correct it or unset it")
    jars, classes = tools / "jars", tools / "classes"
    if not any(jars.glob("kafka_*.jar")) or not (classes / "LocalMongo.class").exists():
        raise Missing("the servers' jars are not here yet: run `make setup`")
    return Tools(java, jars, classes, mongod)


def java_command(environ: Mapping[str, str] = os.environ) -> str:
    """Java, from JAVA_HOME or PATH. Raises Missing when there is none or it is too old."""
    home = environ.get("JAVA_HOME")
    path = environ.get("PATH", "")
    java = shutil.which("java", path=os.pathsep.join([f"{home}/bin", path]) if home else path)
    if java is None:
        raise Missing(f"Java is missing: install {_JDK}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True)  # noqa: S603
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    if found is None:
        raise Missing(f"{java} does not run: install {_JDK}")
    if int(found[1]) < _JAVA:
        raise Missing(f"{java} is Java {found[1]}, which is too old: install {_JDK}")
    return java


def fetch(tools: Path = TOOLS, environ: Mapping[str, str] = os.environ) -> bool:
    """Get the jars with Maven and compile the stand-in, unless they are current. Raises Missing."""
    java = java_command(environ)
    path = os.pathsep.join([str(Path(java).parent), environ.get("PATH", "")])
    source = HERE / "LocalMongo.java"
    wanted = hashlib.sha256((HERE / "pom.xml").read_bytes() + source.read_bytes()).hexdigest()
    stamp = tools / "servers.sha256"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return False
    maven, javac = shutil.which("mvn", path=path), shutil.which("javac", path=path)
    if maven is None:
        raise Missing(f"Maven is missing: install {_MAVEN}")
    if javac is None:
        raise Missing(f"the Java compiler is missing: install {_JDK}")
    sys.stdout.write("fetching Kafka and the MongoDB stand-in into .tools\n")
    for part in ("jars", "classes"):
        shutil.rmtree(tools / part, ignore_errors=True)
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
    copy += [f"-DoutputDirectory={tools / 'jars'}", f"-Dmaven.repo.local={tools / 'm2'}"]
    why = "Maven cannot fetch the servers' jars"
    _checked([maven, "-q", "-B", "-f", str(HERE / "pom.xml"), *copy], why)
    compile_ = [javac, "-nowarn", "-cp", f"{tools / 'jars'}/*", "-d", str(tools / "classes")]
    _checked([*compile_, str(source)], "the stand-in does not compile")
    stamp.write_text(wanted, encoding="utf-8")
    return True


def _cluster_id() -> str:
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))[0] == "-":
        pass
    return text


def _checked(command: list[str], why: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)  # noqa: S603
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise Missing("\n".join([f"{why}:", *said]))


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit("usage: local_servers.py fetch")
    try:
        fetch()
    except Missing as problem:
        sys.exit(str(problem))
