# narrator-daemon on a machine with an NVIDIA GPU. The model is not baked in: mount a volume at
# /models. The driver comes from the host (NVIDIA's container toolkit), CUDA's libraries with torch.
#
#   docker build -t narrator-daemon .
#   docker run --gpus all --stop-timeout 75 --restart unless-stopped \
#     -v models:/models -v segments:/var/cache/narrator-daemon \
#     -v ./config.toml:/etc/narrator/config.toml:ro -v ./secrets:/run/secrets:ro \
#     -e HF_TOKEN narrator-daemon
#
# --stop-timeout: daemon.grace_seconds (30), and the farewell after it; Docker kills after 10 without.
FROM python:3.12-slim-bookworm AS base

# What is asked for, in files that change with the versions alone and not with every edit.
FROM base AS asked
WORKDIR /project
COPY tools/image_requirements.py tools/
COPY pyproject.toml requirements.lock ./
# "csm": the product's voice. Others: "kokoro" for a voice without a GPU (and without "csm" an image of
# 0.6 GB), "emulator" for the local Firebase, "preview" for a voice with it, "otel" for traces.
ARG EXTRAS="csm"
# hadolint ignore=SC2086
RUN python3 tools/image_requirements.py /asked ${EXTRAS}

FROM base AS wheel
WORKDIR /project
COPY pyproject.toml README.md LICENSE ./
COPY tools tools
COPY examples examples
COPY narrator_daemon narrator_daemon
COPY csm csm
COPY watermark watermark
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM base
# Triton builds the launchers of the engine's kernels with a C compiler, when it first runs them.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/narrator \
    && useradd --system --uid 10001 --create-home narrator \
    && install -d -m 700 -o narrator -g narrator \
       /models /data /run/narrator-daemon /var/cache/narrator-daemon /etc/narrator
ENV PATH=/opt/narrator/bin:$PATH

# The layers, largest and stillest first: torch and its CUDA libraries, all else that is locked, this
# program. The lock bounds what is asked for, so that no development tool comes along.
COPY --from=asked /asked/large.txt /asked/
RUN pip install --no-cache-dir --requirement /asked/large.txt
COPY --from=asked /asked/asked.txt /asked/
COPY requirements.lock /asked/
RUN pip install --no-cache-dir --requirement /asked/asked.txt --constraint /asked/requirements.lock
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir --no-deps /wheel/*.whl

LABEL org.opencontainers.image.title="narrator-daemon" \
      org.opencontainers.image.description="Narrates the books of a Firebase catalogue" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

USER 10001
WORKDIR /etc/narrator
# The last two ask the container toolkit for the GPUs and for what computing on them takes.
ENV HF_HOME=/models \
    NARRATOR_DAEMON__STATE_DIR=/run/narrator-daemon \
    NARRATOR_KEPT__FOLDER=/var/cache/narrator-daemon \
    TRITON_CACHE_DIR=/var/cache/narrator-daemon/triton \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# Whether it is worth restarting: it is live while the model comes, however long that takes.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m --retries=3 \
    CMD ["narrator-daemon", "health", "--live"]

# SIGTERM is what it stops on.
STOPSIGNAL SIGTERM
ENTRYPOINT ["narrator-daemon"]
CMD ["run"]
