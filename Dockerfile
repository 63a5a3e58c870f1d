# Two images from one file, both from the same wheel: `api` (no torch) and `worker` (with torch).
FROM node:24-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web/ ./
RUN npm run build

FROM python:3.11-slim AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY api/ api/
COPY kdcore/ kdcore/
COPY migrations/ migrations/
COPY worker/ worker/
COPY distillery/ distillery/
COPY --from=web /src/distillery/web/ distillery/web/
RUN pip wheel --no-deps --wheel-dir /dist .

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 distillery \
    && install --directory --owner distillery /data
WORKDIR /app
COPY constraints.txt ./
ENV KD_HOME=/data

FROM base AS api
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install -c constraints.txt "$(echo /dist/*.whl)[server]"
USER 10001
ENV KD_HOST=0.0.0.0 KD_PORT=8765
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/v1/health', timeout=2)"]
CMD ["python", "-m", "distillery.api"]

FROM base AS worker
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install -c constraints.txt "$(echo /dist/*.whl)[server,train]"
USER 10001
CMD ["python", "-m", "distillery.worker", "jobs"]
