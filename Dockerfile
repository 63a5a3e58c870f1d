# Three images from one file: `web` (the dashboard's files), `api` (no torch), `worker` (with torch).
FROM node:24-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web/ ./
RUN npm run build

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 distillery \
    && install --directory --owner distillery /data
WORKDIR /app
COPY pyproject.toml constraints.txt README.md ./
COPY broker/ broker/
COPY kdcore/ kdcore/
COPY migrations/ migrations/
COPY store/ store/
COPY telemetry/ telemetry/

FROM base AS api
COPY api/ api/
RUN pip install -c constraints.txt ".[api,otel]"
COPY --from=web /src/web/dist/ /app/web/dist/
USER 10001
ENV KD_HOME=/data KD_HOST=0.0.0.0 KD_PORT=8765 KD_WEB_DIR=/app/web/dist
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/v1/health', timeout=2)"]
CMD ["python", "-m", "distillery.api"]

FROM base AS worker
COPY worker/ worker/
RUN pip install -c constraints.txt ".[worker,train,otel]"
USER 10001
ENV KD_HOME=/data
CMD ["python", "-m", "distillery.worker", "jobs"]
