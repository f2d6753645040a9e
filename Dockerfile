# narrator-daemon on a CUDA machine. The model is not baked in: mount a volume at /models.
#
#   docker build -t narrator-daemon .
#   docker run --gpus all -v models:/models -v ./config.toml:/etc/narrator/config.toml:ro \
#     -v ./secrets:/run/secrets:ro -e HF_TOKEN narrator-daemon

# What it stands on; without a GPU, such as for the local Firebase: BASE=ubuntu:24.04.
ARG BASE=nvidia/cuda:13.0.1-runtime-ubuntu24.04
FROM ${BASE}

LABEL org.opencontainers.image.title="narrator-daemon" \
      org.opencontainers.image.description="Narrates the books of a Firebase catalogue" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

# Versions of system packages follow the base image's release, which is pinned above.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv libsndfile1 \
    && rm -rf /var/lib/apt/lists/*

RUN python3 -m venv /opt/narrator
ENV PATH=/opt/narrator/bin:$PATH

WORKDIR /app

# Dependencies first: they change less often than the code. The lock bounds what the project asks
# for, so that nothing of the development tools comes along; torch brings its CUDA libraries.
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY examples examples
COPY tools tools
# "[emulator]" for the local Firebase, "[emulator,preview]" for a voice with it.
ARG EXTRAS=""
RUN mkdir narrator_daemon csm watermark \
    && touch narrator_daemon/__init__.py csm/__init__.py watermark/__init__.py \
    && pip install --no-cache-dir --constraint requirements.lock ".${EXTRAS}"

COPY narrator_daemon narrator_daemon
COPY csm csm
COPY watermark watermark
RUN pip install --no-cache-dir --no-deps --force-reinstall .

RUN useradd --system --uid 10001 --create-home narrator \
    && install -d -m 700 -o narrator -g narrator \
       /models /data /run/narrator-daemon /var/cache/narrator-daemon /etc/narrator
USER 10001
WORKDIR /etc/narrator
ENV HF_HOME=/models \
    NARRATOR_DAEMON__STATE_DIR=/run/narrator-daemon \
    NARRATOR_KEPT__FOLDER=/var/cache/narrator-daemon \
    PYTHONUNBUFFERED=1

# Whether it is worth restarting. The model of the first start takes its time to come.
HEALTHCHECK --interval=30s --timeout=10s --start-period=45m --retries=3 \
    CMD ["narrator-daemon", "health", "--live"]

# SIGTERM is what it stops on; allow it more time than daemon.grace_seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["narrator-daemon"]
CMD ["run"]
