# The images of the sidecar and the control plane. The sidecar is the last target, so it is the default.
#
#   docker build -f sidecar.Dockerfile -t tiergate-sidecar .
#   docker build -f sidecar.Dockerfile -t tiergate-control-plane --target control-plane .
#   docker build -f sidecar.Dockerfile --output wheelhouse --target wheelhouse .
#
# docs/how-to/build-the-images.md describes the arguments, builds without a network, and the content of an image.

# The base must have Python 3.11 or later, with venv, as `python3`. The same base builds and runs Tiergate.
ARG BASE=python:3.13.11-slim-trixie

# ── The tools ────────────────────────────────────────────────────────────────────────────────────────────────────────

FROM ${BASE} AS tools
# A folder of wheels in the build context. If it is set, pip installs from it and not from an index.
ARG WHEELHOUSE=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_ONLY_BINARY=:all: PIP_NO_INDEX=${WHEELHOUSE:+1} PIP_FIND_LINKS=${WHEELHOUSE:+/inputs} \
    PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 LC_ALL=C.UTF-8
COPY requirements packaging/install packaging/sbom.py ${WHEELHOUSE:-requirements} /inputs/
# The secrets are optional: pip's configuration, and a CA certificate to trust.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    python3 -m venv /tools && /tools/bin/python -m pip install --quiet --require-hashes -r /inputs/image.txt

# ── The wheels for an installation without an index ──────────────────────────────────────────────────────────────────

FROM tools AS downloaded
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    for lock in image core control-plane usage-export; do \
      /tools/bin/python -m pip download --quiet --no-deps --require-hashes -d /wheelhouse -r /inputs/$lock.txt || exit; \
    done

FROM scratch AS wheelhouse
COPY --from=downloaded /wheelhouse /

# ── The wheel of this tree ───────────────────────────────────────────────────────────────────────────────────────────

FROM tools AS wheel
WORKDIR /source
COPY . .
RUN /tools/bin/python -m hatchling build --target wheel --directory /wheel

# ── The installations ────────────────────────────────────────────────────────────────────────────────────────────────

FROM tools AS installed-control-plane
ARG BASE
# The packages of the control plane: `usage-export` adds the library that exports usage as Parquet files.
ARG LOCK=control-plane
# Seconds since 1970: the modification time of all files, so that two builds are equal.
ARG SOURCE_DATE_EPOCH=0
COPY --from=wheel /wheel /wheel
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    /inputs/install "$LOCK" tiergate-control-plane control-plane "$LOCK"

FROM tools AS installed-sidecar
ARG BASE
ARG SOURCE_DATE_EPOCH=0
COPY --from=wheel /wheel /wheel
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    /inputs/install core tiergate-sidecar

# ── The images ───────────────────────────────────────────────────────────────────────────────────────────────────────
# From here on the build runs no command, so that the base may have no shell.

FROM ${BASE} AS control-plane
ARG BASE
ARG VERSION="" REVISION=""
LABEL org.opencontainers.image.title="tiergate-control-plane" \
      org.opencontainers.image.description="The server where plans are edited and published. Sidecars follow it." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=installed-control-plane /opt/tiergate /opt/tiergate
COPY --from=installed-control-plane /image/usr/share/sbom /usr/share/sbom
COPY --from=installed-control-plane --chown=65532:65532 /folders/data /var/lib/tiergate
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
USER 65532:65532
EXPOSE 8440
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["/opt/tiergate/bin/python", "-m", "tiergate.cli.health", "--control-plane"]
# Process 1 would ignore a SIGTERM that arrives before Python runs: `env` blocks it until there is a handler.
ENTRYPOINT ["/usr/bin/env", "--block-signal=TERM,INT", "/opt/tiergate/bin/tiergate"]
CMD ["control-plane"]

FROM ${BASE} AS sidecar
ARG BASE
ARG VERSION="" REVISION=""
LABEL org.opencontainers.image.title="tiergate-sidecar" \
      org.opencontainers.image.description="Product entitlements, decided by Cedar, answered on localhost." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=installed-sidecar /opt/tiergate /opt/tiergate
COPY --from=installed-sidecar /image/usr/share/sbom /usr/share/sbom
COPY --from=installed-sidecar --chown=65532:65532 /folders/data /var/lib/tiergate
COPY --from=installed-sidecar --chown=65532:65532 /folders/run /run/tiergate
# Threads share their heaps, what is freed goes back, and time zones are where they are in Debian: all saves memory.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2 MALLOC_TOP_PAD_=0 \
    MALLOC_MMAP_THRESHOLD_=131072 PYTHONTZPATH=/usr/share/zoneinfo
WORKDIR /
USER 65532:65532
EXPOSE 8437 8438
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["/opt/tiergate/bin/python", "-m", "tiergate.cli.health"]
# Process 1 would ignore a SIGTERM that arrives before Python runs: `env` blocks it until there is a handler.
ENTRYPOINT ["/usr/bin/env", "--block-signal=TERM,INT", "/opt/tiergate/bin/tiergate"]
CMD ["sidecar"]
