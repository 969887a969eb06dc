# An image that holds the program and nothing else:
#
#	docker build -t hub --build-arg COMMIT="$(git rev-parse HEAD)" .
#	docker run --rm -u "$(id -u)" -v "$PWD:/data" hub \
#	    download -r openai-community/gpt2 -p gpt2
#
# A token: -e HF_TOKEN, which takes it from the environment.

FROM debian:12 AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make musl-tools libbearssl-dev ca-certificates
COPY . /src
WORKDIR /src
ARG COMMIT SOURCE_DATE_EPOCH
RUN make COMMIT="$COMMIT"

FROM scratch
COPY --from=build /src/hub /hub
WORKDIR /data
ENTRYPOINT ["/hub"]
