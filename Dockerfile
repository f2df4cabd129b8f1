# docker build --target cpu -t voxtrail .          every stage and the voxtrail tool, without a GPU
# docker build --target cuda -t voxtrail-cuda .    the same with the plugin, which needs CUDA 13 and cuDNN 9.15 or newer; on Ubuntu,
#                                                  and never built so far
# docker buildx build --platform linux/amd64,linux/arm64 --target cpu ...    for both architectures: one source, the same results
# DEBIAN=12 or 13 (--build-arg DEBIAN=13).  Both images run as user 65532; an engine mounts /pfs.  The packages of a final image are
# those of the libraries that its programs link, as its build stage found them.  tests/e2e/container.sh checks this file and runs
# the image's content; tests/e2e/bare_machine.sh installs the packages it names in a bare Debian.
#
# Base images are named by tag, and what a tag stands for changes.  For an image that others rely on, name each by digest; PINNED=yes
# refuses one without.  `docker buildx imagetools inspect debian:12` prints the digest, and the finished image names its base in a label:
#     docker build --target cpu --build-arg PINNED=yes --build-arg BASE=debian@sha256:... --build-arg BASE_SLIM=debian@sha256:... -t voxtrail .
# The packages come from Debian's archive of the day; a snapshot archive in the base's sources.list pins those, too.
ARG DEBIAN=12
ARG BASE=debian:${DEBIAN}
ARG BASE_SLIM=debian:${DEBIAN}-slim
ARG CUDA_BASE=nvidia/cuda:13.1.1-cudnn-devel-ubuntu24.04
ARG CUDA_SLIM=nvidia/cuda:13.1.1-cudnn-runtime-ubuntu24.04
ARG PINNED=

FROM ${BASE} AS build
ARG BASE
ARG BASE_SLIM
ARG PINNED
RUN [ -z "$PINNED" ] || for base in "$BASE" "$BASE_SLIM"; do case $base in *@sha256:*) ;; *) echo "PINNED: $base has no digest" >&2; exit 1 ;; esac; done
RUN apt-get update && apt-get install -y --no-install-recommends git dpkg-dev gcc make pkg-config libc6-dev libsqlite3-dev libgit2-dev \
    libssl-dev zlib1g-dev libdeflate-dev libnifti-dev libyaml-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" CUDA=0 all && make install CUDA=0 DESTDIR=/image PREFIX=/usr && strip /image/usr/bin/* \
    && sh tools/runtime_packages.sh /image/usr/bin >/runtime_packages

FROM ${BASE_SLIM} AS cpu
ARG BASE_SLIM
LABEL org.opencontainers.image.base.name="${BASE_SLIM}"
COPY --from=build /runtime_packages /runtime_packages
RUN apt-get update && apt-get install -y --no-install-recommends $(cat /runtime_packages) && rm -rf /var/lib/apt/lists/* /runtime_packages \
    && mkdir -p /pfs/out && chown -R 65532:65532 /pfs
COPY --from=build /image /
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT []
CMD ["voxtrail", "--help"]

FROM ${CUDA_BASE} AS build-cuda
ARG CUDA_BASE
ARG CUDA_SLIM
ARG PINNED
RUN [ -z "$PINNED" ] || for base in "$CUDA_BASE" "$CUDA_SLIM"; do case $base in *@sha256:*) ;; *) echo "PINNED: $base has no digest" >&2; exit 1 ;; esac; done
RUN apt-get update && apt-get install -y --no-install-recommends git dpkg-dev gcc make pkg-config libc6-dev libsqlite3-dev libgit2-dev \
    libssl-dev zlib1g-dev libdeflate-dev libnifti-dev libyaml-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" CUDA=1 all && make install CUDA=1 DESTDIR=/image PREFIX=/usr && strip /image/usr/bin/* \
    && sh tools/runtime_packages.sh /image/usr/bin >/runtime_packages

FROM ${CUDA_SLIM} AS cuda
ARG CUDA_SLIM
LABEL org.opencontainers.image.base.name="${CUDA_SLIM}"
COPY --from=build-cuda /runtime_packages /runtime_packages
RUN apt-get update && apt-get install -y --no-install-recommends $(cat /runtime_packages) && rm -rf /var/lib/apt/lists/* /runtime_packages \
    && mkdir -p /pfs/out && chown -R 65532:65532 /pfs
COPY --from=build-cuda /image /
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT []
CMD ["voxtrail", "--help"]
