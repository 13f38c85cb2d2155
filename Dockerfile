# A small image: the zipapp-free way, packages pinned by hash. Build: docker build -t ds2api .
FROM python:3.13-slim AS build
WORKDIR /build
COPY tools/lock/run.txt ./
RUN python -m venv /opt/ds2api \
 && /opt/ds2api/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r run.txt
COPY src/ds2api /opt/ds2api/lib/python3.13/site-packages/ds2api
RUN /opt/ds2api/bin/python -m compileall -q /opt/ds2api/lib/python3.13/site-packages/ds2api

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin ds2api \
 && mkdir /etc/ds2api \
 && install -d -o 10001 -m 0700 /var/lib/ds2api
COPY --from=build /opt/ds2api /opt/ds2api
# What the pool has learned is kept in /var/lib/ds2api over a restart; a volume there keeps it over a new container too.
ENV PATH=/opt/ds2api/bin:$PATH PYTHONDONTWRITEBYTECODE=1 XDG_STATE_HOME=/var/lib
WORKDIR /etc/ds2api
USER 10001
EXPOSE 8787
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8787/healthz', timeout=2)"]
# /etc/ds2api/ds2api.toml is read if it is there. Beyond loopback the gateway wants caller keys (or --open).
ENTRYPOINT ["python", "-m", "ds2api", "serve", "--listen", "0.0.0.0:8787"]
