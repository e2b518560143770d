# The Pay-i compatible service: docker build -t payi-middleware . && docker run -p 8000:8000 -v payi:/data payi-middleware
FROM python:3.13-slim

COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
COPY examples /src/examples
RUN pip install --no-cache-dir '/src[postgres]' && rm -r /src \
    && useradd --system --home-dir /data --create-home payi

USER payi
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Docker sends SIGTERM and waits 10 s before it kills: give it --stop-timeout 35 where requests may take longer.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["payi-middleware"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--db", "sqlite:////data/payi.db"]
