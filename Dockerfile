# docker build -t rushlight . && docker run -p 8000:8000 -v ./models:/models:ro rushlight
FROM debian:12-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make git python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/rushlight && /opt/rushlight/bin/pip install --no-cache-dir '.[cli,server]'

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 libstdc++6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home rushlight
COPY --from=build /opt/rushlight /opt/rushlight
ENV PATH=/opt/rushlight/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
VOLUME /models
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["rushlight", "serve"]
CMD ["/models", "--host", "0.0.0.0", "--port", "8000"]
