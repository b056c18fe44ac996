# Everything that is done with the source goes through here; CI calls nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
FUZZTIME ?= 20s
BENCH    ?= .
VULNDB   ?= https://vuln.go.dev

npm     := $(shell command -v npm)
sources := $(shell find web/src web/build.mjs -type f 2>/dev/null)
folders := cmd broker internal hooks listeners devices web bench tests
modules := web/node_modules/.package-lock.json
pages   := web/dist/index.html

.PHONY: help run build web pages test lint format vet cross staticcheck race test-386 fuzz crash bench compare limit scale check clean tools test-web test-fuzz test-draw acme corpus

help: ## show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: ## build everything and start a broker with its pages and demo devices
	@$(MAKE) --no-print-directory pages || echo "make: the pages could not be built; the broker works without them"
	@$(MAKE) --no-print-directory build
	@exec bin/outcry serve --config config.yaml --demo

build: ## build the program, bin/outcry
	$(GO) build -trimpath -o bin/outcry ./cmd/outcry

web: ## build the pages that go into the program (needs npm)
ifeq ($(npm),)
	@echo "make: npm is missing; install Node.js with npm (on Debian: apt-get install nodejs npm)" >&2; exit 1
else
	@$(MAKE) --no-print-directory $(pages)
endif

# The pages if npm is there, and a word about them if it is not.
pages:
ifeq ($(npm),)
	@echo "make: npm is missing, so the program gets no pages; install Node.js with npm and run make again"
else
	@$(MAKE) --no-print-directory $(pages)
endif

$(modules): web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

$(pages): $(modules) $(sources)
	cd web && npm run --silent build
	@touch $@

test: tools lint test-fuzz test-web race test-386 acme ## everything that must hold: checks, tests, fuzzers, the pages in a browser

tools:
	@ALLOW_MISSING="$(ALLOW_MISSING)" .ci/tools

lint: format vet staticcheck cross ## gofmt, go vet, staticcheck, and builds for other systems

format:
	@unformatted=$$(gofmt -l $$(ls -d *.go $(folders) 2>/dev/null) | grep -v /node_modules/ || true); \
	if [[ -n $$unformatted ]]; then echo "not formatted; run gofmt -w on: $$unformatted" >&2; exit 1; fi

vet:
	$(GO) vet ./...
	cd tests/acme && $(GO) vet ./...

cross:
	@GO=$(GO) .ci/cross

staticcheck:
	$(GO) tool staticcheck ./...

race: ## tests with the race detector
	$(GO) test -race -timeout 25m ./...

# The engine as a 32-bit program, where its processor runs one.
test-386:
ifeq ($(shell $(GO) env GOOS GOARCH | xargs),linux amd64)
	CGO_ENABLED=0 GOARCH=386 $(GO) test -timeout 10m ./broker/... ./internal/...
else
	@echo "make: the engine is NOT TESTED as a 32-bit program: this is not linux/amd64"
endif

acme: ## get certificates from Pebble, Let's Encrypt's authority for tests; takes two minutes
	cd tests/acme && $(GO) test -timeout 15m ./...

fuzz: ## run every fuzz target for FUZZTIME (20s)
	.ci/fuzz $(FUZZTIME)

corpus: ## keep failures and a few other inputs that make fuzz has found
	.ci/corpus

# FuzzModel needs minutes to find what the fixed seeds of TestModel do not have.
test-fuzz:
	FUZZ_SKIP=FuzzModel .ci/fuzz 3s

test-web: pages build
	@if ! command -v npm >/dev/null; then echo "make: npm is missing: the pages are NOT TESTED"; exit 0; fi; \
	cd web && npm test

crash: ## kill the broker 280 times, with good and bad disks, and see that nothing acknowledged is lost
	$(GO) run ./tests/crash --rounds 200
	$(GO) run ./tests/crash --rounds 40 --disk full
	$(GO) run ./tests/crash --rounds 40 --disk errors

bench: ## run the Go benchmarks that match BENCH
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

compare: ## give Outcry and its peers the same work, write docs/benchmarks.md
	$(GO) run ./bench/compare --write docs/benchmarks.md $(COMPARE)

limit: ## give Outcry and a bare loop the same work, write docs/performance.md
	$(GO) run ./bench/compare --write docs/performance.md --marker limit --peers limit,limit-2 --works 'fanout-tcp-*,pairs-0,quiet,payload-*' $(LIMIT)

scale: ## measure how cost grows, draw it, write docs/scale.md (SCALE=--quick: in a minute)
	$(GO) run ./bench/scale --write docs/scale.md $(SCALE)

# What draws the charts is a module of its own.
test-draw:
	cd bench/scale/draw && $(GO) vet . && $(GO) test .

check: lint ## lint, and known vulnerabilities of the dependencies (VULNDB: where the database is)
	@GO=$(GO) .ci/vulnerabilities $(VULNDB)

clean: ## remove what was built; data/ stays
	rm -rf bin web/node_modules
	find web/dist -mindepth 1 ! -name README.txt -delete
