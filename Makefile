# fleettop: `make help` lists the targets.
VERSION ?= $(shell git describe --tags --always --abbrev=12 --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
EPOCH   ?= $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || echo 0))
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PREFIX  ?= /usr/local
N       ?= 20
DEATHS  ?= 3
FUZZTIME ?= 60s
SEEDS   ?= 1000
STORIES ?= 2000
SEED    ?= 1
ARCHES  ?= amd64 arm64 armv7 riscv64
DIST    ?= bin/dist
MAKE_DIST = go run ./cmd/fleettop/dist -version '$(VERSION)' -commit '$(COMMIT)' -epoch $(EPOCH)
export CGO_ENABLED = 0

.PHONY: help build test sim crash fuzz vuln demo screenshots lab e2e failover steady chaos bench lint dist install clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/fleettop and bin/fleetlab, static
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/fleettop ./cmd/fleetlab

lint test: export CGO_ENABLED = 1

lint: ## gofmt, go vet, staticcheck, on what the tests compile anyway
	@out=$$(gofmt -l cmd daemon cluster journal units tui); [ -z "$$out" ] || { echo "run gofmt on:"; echo "$$out"; exit 1; }
	GOFLAGS=-race go vet -tags e2e,figures,systemd ./...
	GOFLAGS=-race go tool staticcheck -tags e2e,figures,systemd ./...

# The simulation's stories are a run of their own, as they can't be built with the race detector.
# They are a search: with TELL set, what they find is told and fails nothing.
test: lint ## everything that needs no root: lint, 2,000 simulated stories, then all tests with the race detector
	CGO_ENABLED=0 go test -vet=off -count=1 -timeout 60m ./daemon/simulation -sim.seeds $(STORIES) || \
		{ [ -n "$(TELL)" ] && echo "the simulation found what stands above; with TELL set it fails nothing"; }
	go test -race -vet=off -timeout 20m ./...

sim: ## SEEDS (1000) stories of faults in a simulated cluster of the real parts, checked at each step
	go test -count=1 -timeout 0 ./daemon/simulation -sim.seeds $(SEEDS)

crash: ## a daemon killed just before each of its writes, one life after the other (about half an hour)
	go test -count=1 -timeout 0 -v -run '^TestKillPoints$$' ./daemon -crash.points 0

fuzz: ## every fuzz target for FUZZTIME (60s), one after the other
	@.ci/fuzz $(FUZZTIME)

vuln: ## known vulnerabilities in what is linked, if their database can be reached
	@go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./... || { code=$$?; [ $$code -eq 3 ] && exit 3; echo "govulncheck could not run here: nothing is known of vulnerabilities"; }

demo: build ## three machines on loopback; one dies, its units move
	bin/fleettop demo

screenshots: build ## pictures of the console for the README, from a running demo
	go run ./tui/screenshots -fleettop bin/fleettop -out tui/screenshots

lab: build ## three real systemd machines running fleettop (root)
	bin/fleetlab up -n 3 --fleettop bin/fleettop --service daemon/fleettop.service

e2e: build ## the end-to-end tests on real systemd machines (root)
	go test -tags e2e -count=1 -timeout 90m -v ./cmd/fleetlab/...

failover: build ## N power-offs (default 20) in a lab of five, timed by phase; root
	go test -tags e2e,figures -count=1 -timeout 40m -v -run '^TestFailover$$' ./cmd/fleetlab/e2e -args -failovers $(N)

steady: build ## false failovers in a lab of five: idle, starved, on bad networks and disks; HOURS together or MINUTES (10) each; root
	go test -tags e2e,figures -count=1 -timeout 0 -v -run '^TestSteady$$' ./cmd/fleetlab/e2e -args -deaths $(DEATHS) \
		$(if $(HOURS),-hours $(HOURS)) $(if $(MINUTES),-minutes $(MINUTES)) $(if $(CONDITIONS),-conditions $(CONDITIONS)) \
		$(if $(INTERVALS),-intervals $(INTERVALS))

chaos: build ## MINUTES (10) of faults that SEED (1) chooses, on five machines whose units record what became of them; root
	go test -tags e2e -count=1 -timeout 0 -v -run '^TestChaos$$' ./cmd/fleetlab/e2e -args -chaos.seed $(SEED) -chaos.minutes $(or $(MINUTES),10)

bench: build ## the benchmarks; as root also those on lab machines
	go test -run '^$$' -bench . -benchmem ./units/... ./cluster/schedule/... ./cluster/etcdstore/... ./daemon/api/... ./daemon/logs/... ./journal/... ./tui/...
	go test -tags figures -count=1 -timeout 20m -v -run '^TestConsoleFigures$$' ./cmd/fleettop/internal/cli
	@if [ $$(id -u) = 0 ]; then go test -tags e2e,figures -count=1 -timeout 40m -v -run '^Test(Journal)?Figures' ./cmd/fleetlab/e2e; \
	else echo "not root: the benchmarks on lab machines were left out"; fi

dist: ## packages for ARCHES (all four) in DIST (bin/dist): deb, rpm, apk, tar.gz, sums, SPDX; a commit's bytes are always the same
	$(MAKE_DIST) -arches '$(ARCHES)' -out '$(DIST)' $(if $(MAINTAINER),-maintainer '$(MAINTAINER)')

install: build ## the binary, the systemd unit, manual pages and completions, under PREFIX and DESTDIR
	install -D -m 0755 bin/fleettop $(DESTDIR)$(PREFIX)/bin/fleettop
	install -d $(DESTDIR)/etc/systemd/system
	sed 's|/usr/local/bin|$(PREFIX)/bin|' daemon/fleettop.service > $(DESTDIR)/etc/systemd/system/fleettop.service
	chmod 0644 $(DESTDIR)/etc/systemd/system/fleettop.service
	install -D -m 0644 daemon/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/fleettop.conf
	$(MAKE_DIST) -share $(DESTDIR)$(PREFIX)/share
	@echo "next, on the first machine: systemd-sysusers; fleettop key generate; systemctl daemon-reload; systemctl enable --now fleettop"
	@echo "      on each other one: systemd-sysusers; systemctl daemon-reload; then the line that 'fleettop join-command' prints on the first"

clean: ## remove what was built
	rm -rf bin
