# ckptfix in an image: docker run --rm -v "$PWD:/work" ckptfix check MODEL (docs/ci.md).
FROM python:3.12-slim AS build
COPY pyproject.toml README.md LICENSE /source/
COPY src /source/src
RUN python -m venv /opt/ckptfix \
 && /opt/ckptfix/bin/pip install --no-cache-dir --disable-pip-version-check /source

FROM python:3.12-slim
RUN useradd --uid 1000 --create-home ckptfix
COPY --from=build /opt/ckptfix /opt/ckptfix
USER ckptfix
WORKDIR /work
ENTRYPOINT ["/opt/ckptfix/bin/ckptfix"]
CMD ["--help"]
