# docker build --target cpu -t voxtrail .          every stage and the voxtrail tool, without a GPU
# docker build --target cuda -t voxtrail-cuda .    the same with the plugin
# Both run as user 65532; an engine mounts /pfs.  tests/e2e/container.sh checks this file and runs the image's content.
FROM debian:12 AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc make pkg-config libc6-dev libsqlite3-dev libgit2-dev libssl-dev \
    zlib1g-dev libdeflate-dev libnifti-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" CUDA=0 && make install CUDA=0 DESTDIR=/image PREFIX=/usr && strip /image/usr/bin/*

FROM debian:12-slim AS cpu
RUN apt-get update && apt-get install -y --no-install-recommends libsqlite3-0 libgit2-1.5 libssl3 zlib1g libdeflate0 libnifti2-2 libznz3 \
    && rm -rf /var/lib/apt/lists/* && mkdir -p /pfs/out && chown -R 65532:65532 /pfs
COPY --from=build /image /
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT []
CMD ["voxtrail", "--help"]

FROM nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04 AS build-cuda
RUN apt-get update && apt-get install -y --no-install-recommends gcc make pkg-config libc6-dev libsqlite3-dev libgit2-dev libssl-dev \
    zlib1g-dev libdeflate-dev libnifti-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" CUDA=1 && make install CUDA=1 DESTDIR=/image PREFIX=/usr && strip /image/usr/bin/*

FROM nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04 AS cuda
RUN apt-get update && apt-get install -y --no-install-recommends libsqlite3-0 libgit2-1.1 libssl3 zlib1g libdeflate0 libnifti2-2 libznz3 \
    && rm -rf /var/lib/apt/lists/* && mkdir -p /pfs/out && chown -R 65532:65532 /pfs
COPY --from=build-cuda /image /
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT []
CMD ["voxtrail", "--help"]
