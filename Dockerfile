# The receiver alone in its image, for linux/amd64, which is what Cloud Run runs.
# Plain instructions only, so that every builder takes them and caches by layers: BuildKit, Docker's older one, buildah.

# As in rust-toolchain.toml, which stays outside: rustup would install the lints that it asks for.
ARG RUST_VERSION=1.95.0

FROM docker.io/library/rust:${RUST_VERSION}-slim-bookworm AS toolchain
RUN cargo install --locked cargo-auditable@0.7.7
# glibc goes into the binary, so that the image needs none. With the target named, it does not go into macros and
# build scripts, which cannot have it.
ENV CARGO_BUILD_TARGET=x86_64-unknown-linux-gnu \
    RUSTFLAGS="-C target-feature=+crt-static"
WORKDIR /build

# Everything of Cargo.lock that the receiver stands on, from the manifests alone: a change in a source leaves these
# layers as they are.
FROM toolchain AS dependencies
COPY Cargo.toml Cargo.lock ./
COPY oidc/Cargo.toml oidc/
# Compiled for jobs that enqueue tasks or call other services: --build-arg FEATURES=fan-out.
COPY caller/Cargo.toml caller/
ARG FEATURES=
# A member of the workspace, which is never compiled here.
COPY emulator/Cargo.toml emulator/
# An empty file for each target that cargo looks for. What was built of the empty ones goes again: cargo goes by times,
# and would take it for newer than the sources.
RUN mkdir -p benches src oidc/benches oidc/src caller/benches caller/src emulator/src \
    && touch benches/attempt.rs src/lib.rs oidc/benches/verify.rs oidc/src/lib.rs caller/benches/token.rs \
        caller/src/lib.rs emulator/src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs > caller/src/main.rs \
    && cargo auditable build --release --locked --package receiver --bin receiver --features "$FEATURES" \
    && cargo clean --release --locked --target "$CARGO_BUILD_TARGET" --package receiver --package oidc --package caller

FROM dependencies AS build
ARG FEATURES=
COPY oidc/src oidc/src
COPY caller/src caller/src
COPY src src
RUN cargo auditable build --release --locked --package receiver --bin receiver --features "$FEATURES"

FROM scratch
# What the TLS of the key server is verified with.
COPY --from=toolchain /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /build/target/x86_64-unknown-linux-gnu/release/receiver /
# A number, so that whoever forbids root need not look it up.
USER 65532:65532
ENTRYPOINT ["/receiver"]
