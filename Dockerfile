# One image with every program. Build:  docker build -t latchkey:0.1.0 .
#
# Node.js and the libraries it links to, our bundles, and nothing else: no shell, no package
# manager. Runs as user and group 65532 with a read-only root file system and no capabilities.
# Commands: latchkey, latchkey-kms, latchkey-broker, latchkey-sidecar, latchkey-webhook.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# Without install scripts: none is needed, as Node.js is the image's own.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY LICENSE README.md SECURITY.md CHANGELOG.md ./
COPY cmd cmd
COPY deploy deploy
COPY proto proto
COPY scripts scripts
COPY src src
# By its path: the compile cache serves the very Node.js that made it. Then the launchers name it
# too, as the final image has no env(1).
RUN /usr/local/bin/node scripts/build.ts --out /opt/latchkey --cache-uid 65532 \
  && sed -i '1s,.*,#!/usr/local/bin/node,' /opt/latchkey/bin/*

FROM ${BASE_IMAGE} AS latchkey
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /opt/latchkey /opt/latchkey
COPY --from=build /usr/local/LICENSE /opt/latchkey/NODE_LICENSE
ENV PATH=/opt/latchkey/bin:/usr/local/bin
WORKDIR /
USER 65532:65532
CMD ["latchkey", "--help"]
