# The two to begin with are `make demo` and `make test`; both need only Rust and a C compiler.

CARGO ?= cargo
DOCKER ?= docker
IMAGE ?= shippy

.PHONY: demo test build run image bench bench-full fuzz ci clean

# Builds, and shows the main job live: serve, create, list, a killed server, nothing lost.
demo:
	$(CARGO) build --locked
	scripts/demo "$${CARGO_TARGET_DIR:-target}/debug/shippy"

# The tests that need nothing but this machine; `make ci` runs the others too.
test:
	$(CARGO) test --locked

# The executable as it ships: target/release/shippy
build:
	$(CARGO) build --locked --release

# Serves in the foreground, on this machine alone.
run:
	$(CARGO) run --locked --release -- serve

image:
	DOCKER_BUILDKIT=1 $(DOCKER) build -t $(IMAGE) .

# What shippy costs, and how it does beside the machine's limits and beside Redis, etcd and PostgreSQL, those that are
# installed: about 10 minutes. MARKDOWN=docs/benchmarks.md writes the second table to that file too.
bench: COMPARE =
# The same with a register of 10,000,000, which takes about 15 GB of disk for as long.
bench-full: COMPARE = --full
bench bench-full:
	$(CARGO) bench --locked --bench figures
	$(CARGO) bench --locked --bench compare -- $(COMPARE) $(if $(MARKDOWN),--markdown $(abspath $(MARKDOWN)))

# Looks for input that breaks something, for a minute in each place where input comes in. Needs a C++ compiler.
fuzz:
	.ci/fuzz

# Everything, with the services, containers and network namespaces that some tests need. Installs what it needs.
ci:
	.ci/run

clean:
	$(CARGO) clean
