# Raygate in a container: it starts what `make serve` starts.
#
#     docker build -t raygate .                        CPU
#     docker build -t raygate:gpu --target gpu .       NVIDIA GPUs, through the NVIDIA Container Toolkit
#
# PIP_EXTRA_INDEX_URL names an index with CPU builds of torch: without one pip takes the larger ordinary build.

FROM python:3.11.14-slim-bookworm AS base
# libnuma is for vLLM's CPU build; g++ for torch.compile and Triton, which build kernels when a model starts.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 raygate \
    && useradd --create-home --uid 10001 --gid 10001 raygate \
    && install -d -o raygate -g raygate -m 700 /var/lib/raygate
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAYGATE_HOME=/var/lib/raygate \
    HF_HOME=/var/lib/raygate/huggingface \
    VLLM_CACHE_ROOT=/var/lib/raygate/vllm
WORKDIR /app
# What the environment is made of, and no code yet: a change of code leaves the large layer, the next one, as it is.
COPY pyproject.toml ./
COPY scripts/recipe.py scripts/setup.py scripts/
COPY auth/__init__.py auth/
COPY doctor/__init__.py doctor/
COPY engines/__init__.py engines/
COPY gateway/__init__.py gateway/
COPY objects/__init__.py objects/
RUN python -m venv .venv
VOLUME /var/lib/raygate
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["raygate"]

FROM base AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG PIP_EXTRA_INDEX_URL
RUN --mount=type=cache,target=/root/.cache/pip .venv/bin/python scripts/setup.py --accelerator cuda
COPY auth auth
COPY doctor doctor
COPY engines engines
COPY gateway gateway
COPY objects objects
COPY configs configs
USER 10001:10001
CMD ["serve", "/app/configs/gpu.yaml"]

# Last, so that it is what a plain `docker build` builds.
FROM base AS cpu
ARG PIP_EXTRA_INDEX_URL
RUN --mount=type=cache,target=/root/.cache/pip .venv/bin/python scripts/setup.py --accelerator cpu
COPY auth auth
COPY doctor doctor
COPY engines engines
COPY gateway gateway
COPY objects objects
COPY configs configs
USER 10001:10001
CMD ["serve", "/app/configs/quickstart.yaml"]
