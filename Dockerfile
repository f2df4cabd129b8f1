# docker build --target cpu -t voxtrail .          every stage and the voxtrail tool, without a GPU
# docker build --target cuda -t voxtrail-cuda .    the same with the plugin, which needs CUDA 13 and cuDNN 9.15 or newer; on Ubuntu,
#                                                  and never built so far
# docker buildx build --platform linux/amd64,linux/arm64 --target cpu ...    for both architectures: one source, the same results
# DEBIAN=12 or 13 (--build-arg DEBIAN=13).  Both images run as user 65532; an engine mounts /pfs.  The packages of a final image are
# those of the libraries that its programs link, as its build stage found them.  tests/e2e/container.sh checks this file and runs
# the image's content; tests/e2e/bare_machine.sh installs the packages it names in a bare Debian.
ARG DEBIAN=12

FROM debian:${DEBIAN} AS build
RUN apt-get update && apt-get install -y --no-install-recommends git dpkg-dev gcc make pkg-config libc6-dev libsqlite3-dev libgit2-dev \
    libssl-dev zlib1g-dev libdeflate-dev libnifti-dev libyaml-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" CUDA=0 all && make install CUDA=0 DESTDIR=/image PREFIX=/usr && strip /image/usr/bin/* \
    && sh tools/runtime_packages.sh /image/usr/bin >/runtime_packages

FROM debian:${DEBIAN}-slim AS cpu
COPY --from=build /runtime_packages /runtime_packages
RUN apt-get update && apt-get install -y --no-install-recommends $(cat /runtime_packages) && rm -rf /var/lib/apt/lists/* /runtime_packages \
    && mkdir -p /pfs/out && chown -R 65532:65532 /pfs
COPY --from=build /image /
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT []
CMD ["voxtrail", "--help"]

FROM nvidia/cuda:13.1.1-cudnn-devel-ubuntu24.04 AS build-cuda
RUN apt-get update && apt-get install -y --no-install-recommends git dpkg-dev gcc make pkg-config libc6-dev libsqlite3-dev libgit2-dev \
    libssl-dev zlib1g-dev libdeflate-dev libnifti-dev libyaml-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" CUDA=1 all && make install CUDA=1 DESTDIR=/image PREFIX=/usr && strip /image/usr/bin/* \
    && sh tools/runtime_packages.sh /image/usr/bin >/runtime_packages

FROM nvidia/cuda:13.1.1-cudnn-runtime-ubuntu24.04 AS cuda
COPY --from=build-cuda /runtime_packages /runtime_packages
RUN apt-get update && apt-get install -y --no-install-recommends $(cat /runtime_packages) && rm -rf /var/lib/apt/lists/* /runtime_packages \
    && mkdir -p /pfs/out && chown -R 65532:65532 /pfs
COPY --from=build-cuda /image /
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT []
CMD ["voxtrail", "--help"]
