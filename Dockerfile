# The gateway as one image: `isthmus serve` with its own Envoy, or, as docker-compose.yml runs it, the server alone behind another container's.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE envoy.yaml ./
COPY server server
COPY clients/python clients/python
RUN pip install --no-cache-dir --prefix=/install ".[aws,google,postgres,redis]"

FROM python:3.12-slim
COPY --from=build /install /usr/local
RUN useradd --system --home-dir /data isthmus && install -d -m 700 -o isthmus -g isthmus /data
USER isthmus
ENV ISTHMUS_DATA=/data PYTHONUNBUFFERED=1
# The store, the secret unless ISTHMUS_SECRET is set, the journal of records, cached answers: what must outlive the container.
VOLUME /data
EXPOSE 8080 50051
# Exec form: the supervisor is process 1 and gets the signals of a stop itself.
ENTRYPOINT ["isthmus"]
CMD ["serve"]
