# One image, one binary; the role is the command: `docker run IMAGE worker`, `docker run IMAGE up`.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# The image's own toolchain, not the one that rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . .
# For lovage_build_info: `docker build --build-arg LOVAGE_REVISION=$(git rev-parse HEAD) .`. Without it: unknown.
ARG LOVAGE_REVISION=unknown
ENV LOVAGE_REVISION=${LOVAGE_REVISION:-unknown}
# The caches outlive a build; the binary must leave the cached folder in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --package lovage-cli --features reports \
    && cp target/dist/lovage /usr/local/bin/lovage

FROM debian:bookworm-slim
# Certificates for TLS to Redis, databases and object storage; time zones for people and schedules.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/lovage /usr/local/bin/lovage
# No name, no shell, no password: a number that Kubernetes can check with runAsNonRoot.
RUN mkdir /var/lib/lovage && chown 65532:65532 /var/lib/lovage
USER 65532:65532
WORKDIR /var/lib/lovage
# The only folder that is written to, and only without REDIS_URL and LOVAGE_STORAGE_URL.
ENV LOVAGE_DATA_DIR=/var/lib/lovage LOVAGE_LOG_FORMAT=json
VOLUME /var/lib/lovage
# TERM drains: running jobs end or are handed back. A second one stops at once.
STOPSIGNAL SIGTERM
ENTRYPOINT ["lovage"]
CMD ["--help"]
