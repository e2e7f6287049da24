# syntax=docker/dockerfile:1
# The images that this one is made of, pinned here and nowhere else. To move to newer ones:
#   docker buildx imagetools inspect rust:1.95.0-slim-bookworm     its digest
ARG RUST=docker.io/library/rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG DEBIAN=docker.io/library/debian:bookworm-slim@sha256:4724b8cc51e33e398f0e2e15e18d5ec2851ff0c2280647e1310bc1642182655d

FROM ${RUST} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && scripts/image_root.sh target/release/pgvalet /image

# The program, the C library, root certificates: no shell, no package manager.
FROM scratch AS runtime
COPY --from=build /image /
# By number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
# Where the configuration puts the store and the audit log. Everything else may be read-only.
WORKDIR /var/lib/pgvalet
VOLUME /var/lib/pgvalet
EXPOSE 6432 6433
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
    CMD ["/usr/bin/pgvalet", "--config", "/etc/pgvalet/pgvalet.toml", "health"]
# SIGTERM, which docker sends, lets transactions finish.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/pgvalet"]
CMD ["run", "--config", "/etc/pgvalet/pgvalet.toml"]

# For jobs beside the proxy, such as a rotation by a script: has psql and a shell.
FROM ${DEBIAN} AS tools
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates postgresql-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /image/usr/bin/pgvalet /usr/bin/pgvalet
COPY --from=build --chown=65532:65532 /image/var/lib/pgvalet /var/lib/pgvalet
USER 65532:65532
WORKDIR /var/lib/pgvalet

FROM runtime
