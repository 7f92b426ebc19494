# The three roles in one image: `docker run IMAGE`, `docker run IMAGE create FILE` and `docker run IMAGE list`.

# The builder brings what the C parts need (gcc, musl's headers): SQLite and the allocator are built from their crates.
FROM rust:1.95-alpine3.23 AS build
WORKDIR /src
COPY . .
# With --root the executable is in one place whatever target the builder compiles for.
RUN cargo install --locked --path . --root /out
# Where the shells and man of the last stage look.
RUN shippy=/out/bin/shippy share=/out/share \
    && mkdir -p $share/bash-completion/completions $share/zsh/site-functions $share/fish/vendor_completions.d \
    && $shippy completions bash >$share/bash-completion/completions/shippy \
    && $shippy completions zsh >$share/zsh/site-functions/_shippy \
    && $shippy completions fish >$share/fish/vendor_completions.d/shippy.fish \
    && $shippy man $share/man/man1

FROM alpine:3.23
# A numeric user, so that Kubernetes can tell that it is not root. What it owns is the register's folder alone.
RUN addgroup -S -g 10001 shippy \
    && adduser -S -D -H -u 10001 -G shippy -h /data shippy \
    && install -d -o shippy -g shippy -m 0750 /data
COPY --from=build /out/bin/shippy /usr/local/bin/shippy
COPY --from=build /out/share /usr/share
WORKDIR /shippy
COPY consignment.json ./

USER 10001:10001
VOLUME /data
# A container's network is its own, so the server is open to it. The file in /data has the service's name.
ENV MICRO_SERVER_ADDRESS=:50051 \
    SHIPPY_STORE=sqlite:/data/
EXPOSE 50051
STOPSIGNAL SIGTERM
# Asks the server in this container at SHIPPY_PROBE_ADDRESS, which a server with TLS needs for it, else at
# MICRO_SERVER_ADDRESS; a start that takes longer is not held against it.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["shippy", "health"]
ENTRYPOINT ["shippy"]
CMD ["serve"]
