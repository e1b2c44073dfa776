# The server, with everything that the direct mode needs: docker build -t configkit .
FROM python:3.12-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md ./
COPY src src
COPY examples/asr_service.py examples/asr_service.py
RUN python -m venv /opt/configkit && /opt/configkit/bin/pip install --no-cache-dir -c constraints.txt '.[all]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home configkit && install -d -m 700 -o configkit /data
COPY --from=build /opt/configkit /opt/configkit
# Reached from outside of the container, the server refuses to start without credentials: set CONFIGKIT_TOKEN.
ENV PATH=/opt/configkit/bin:$PATH PYTHONUNBUFFERED=1 XDG_DATA_HOME=/data CONFIGKIT_HOST=0.0.0.0 CONFIGKIT_PORT=8082
USER configkit
VOLUME /data
EXPOSE 8082
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['CONFIGKIT_PORT'] + '/live', timeout=3)"]
ENTRYPOINT ["configkit"]
CMD ["serve"]
