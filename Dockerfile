# syntax=docker/dockerfile:1
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/pgvalet /pgvalet

FROM debian:bookworm-slim AS runtime
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/pgvalet --create-home pgvalet
COPY --from=build /pgvalet /usr/local/bin/pgvalet
USER pgvalet
# For the store and the audit log: `data/…` in the configuration is relative to this.
WORKDIR /var/lib/pgvalet
VOLUME /var/lib/pgvalet
EXPOSE 6432 6433
# SIGTERM, which docker sends, lets transactions finish.
ENTRYPOINT ["pgvalet"]
CMD ["run", "--config", "/etc/pgvalet/pgvalet.toml"]

# For jobs beside the proxy, such as a rotation; has psql.
FROM runtime AS tools
USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
USER pgvalet
ENTRYPOINT []

FROM runtime
