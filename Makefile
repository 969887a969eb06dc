# GNU make. `make` builds ./hub, `make test` runs all tests, `make install`
# installs. For developers: tests/checks.mk, tools/dist.mk.
# Set CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR or BEARSSL on the command line.

VERSION = 0.1.0
PREFIX  = /usr/local
BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
O       = build/release

CC      = musl-gcc
# For size: the network is slower than any of this, but for the hashes and
# ciphers below.
CFLAGS  = -Os -fno-inline-functions-called-once -fno-partial-inlining
# Nothing makes RELRO's page read-only in a static program of musl: it is padding, up
# to 64 kB where pages may be that large.
LDFLAGS = -static -s -Wl,--gc-sections -Wl,--sort-section=alignment \
          -Wl,-z,norelro -Wl,-T,tools/no_unwind.ld

# The compiler for what runs while building (tools/roots).
HOSTCC  = cc

# BEARSSL=DIR: a BearSSL source tree that was built there (DIR/inc and
# DIR/build/libbearssl.a). Else the one of the system; by its full path, since
# -L of its folder would bring the system's libc, too.
ifdef BEARSSL
BEARSSL_INC = -isystem $(BEARSSL)/inc
BEARSSL_LIB = $(BEARSSL)/build/libbearssl.a
else
BEARSSL_INC = -idirafter /usr/include
BEARSSL_LIB := $(shell $(HOSTCC) -print-file-name=libbearssl.a)
endif

# Where Debian's ca-certificates puts the roots that are built in.
ROOTS = /usr/share/ca-certificates/mozilla

# Stop with a clear sentence; they are the first line of what needs the package.
NEED_BEARSSL = $(if $(wildcard $(BEARSSL_LIB)),,$(error $(BEARSSL_LIB) is \
               missing: install libbearssl-dev, or set BEARSSL to a built tree))
NEED_ROOTS = $(if $(wildcard $(ROOTS)/*.crt),,$(error no roots of trust in \
             $(ROOTS): install ca-certificates, or set ROOTS))

# Said by version: BearSSL does not know its own.
BEARSSL_VERSION = $(if $(BEARSSL),from $(BEARSSL),$(shell dpkg-query -W \
                  -f='$${Version}' libbearssl-dev 2>/dev/null))

# A clock that is before this day is wrong (tls.c): seconds since 1970. Not that
# of the build, so that the same sources make the same bytes.
BUILD_TIME = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct \
             2>/dev/null),$(shell stat -c %Y Makefile *.[ch] 2>/dev/null | \
             sort -n | tail -n 1),$(shell date +%s))

# Said by "version --json": the commit, with "-dirty" if that is not all.
COMMIT := $(shell git describe --always --abbrev=40 --dirty --exclude='*' \
          2>/dev/null)

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wconversion \
       -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
       -Wwrite-strings -Wformat=2 -Wswitch-enum -Wimplicit-fallthrough \
       -Wframe-larger-than=16384
# What is linked statically is at a fixed address; code for any is larger.
FIXED = $(if $(filter -static,$(LDFLAGS)),-fno-pie)
OURS = $(FIXED) -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 \
       -DHUB_VERSION='"$(VERSION)"' -pthread -ffunction-sections -fdata-sections \
       -fno-asynchronous-unwind-tables -MMD -MP -I. $(BEARSSL_INC) $(WARN)

UNITS = $(filter-out hub,$(basename $(wildcard *.c)))
TESTS = $(patsubst tests/unit/%.c,test_%,$(wildcard tests/unit/*.c))
FUZZ  = $(patsubst tests/fuzz/%.c,%,\
        $(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c)))
LIB   = $O/libhub.a

all: hub

hub: $O/hub
	cp $< $@

$O/hub: $O/hub.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

$O/test_%: $O/tests/unit/%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

# All units but main; a program takes from it what it needs.
$(LIB): $(UNITS:%=$O/%.o) $O/roots.o
	rm -f $@
	$(AR) rcs $@ $^

$O/%.o: %.c Makefile
	$(NEED_BEARSSL)
	@mkdir -p $(@D)
	$(CC) $(OURS) $(CFLAGS) -c -o $@ $<

# Made anew when the commit is another one.
$O/hub.o $O/tests/unit/version.o: OURS += -DHUB_BEARSSL='"$(BEARSSL_VERSION)"' \
    -DHUB_COMMIT='"$(COMMIT)"' -DHUB_BUILD_TIME=$(BUILD_TIME)
$O/hub.o $O/tests/unit/version.o: $O/commit
$O/commit: FORCE
	@mkdir -p $(@D)
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' >$@

$O/tls.o $O/tests/unit/chain.o $O/tests/unit/clock.o $O/tests/unit/tls.o: \
    OURS += -DHUB_BUILD_TIME=$(BUILD_TIME)

$O/blake3.o $O/chunk.o $O/cipher_cpu.o $O/hash.o $O/hash_cpu.o $O/lz4.o: CFLAGS += -O2

# The scripts that are installed, made by a program that runs here.
$O/shell/%: $O/completion
	@mkdir -p $(@D)
	$< $* >$@.new
	mv $@.new $@

COMPLETION_FROM = tools/completion.c option.c str.c err.c
$O/completion: $(COMPLETION_FROM) option.h str.h err.h Makefile
	@mkdir -p $(@D)
	$(HOSTCC) -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -I. -o $@ \
	    $(COMPLETION_FROM)

# The roots of trust as C, made by a program that runs here.
$O/roots.o: $O/roots.c
	$(CC) $(OURS) $(CFLAGS) -c -o $@ $<

$O/roots.c: $O/roots $(wildcard $(ROOTS)/*.crt)
	$(NEED_ROOTS)
	$O/roots $(ROOTS) >$@.new
	mv $@.new $@

ROOTS_FROM = tools/roots.c cert.c lz4.c str.c err.c
$O/roots: $(ROOTS_FROM) cert.h lz4.h str.h err.h Makefile
	$(if $(wildcard /usr/include/bearssl.h),,$(error install libbearssl-dev))
	@mkdir -p $(@D)
	$(HOSTCC) -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -O1 \
	    -I. -o $@ $(ROOTS_FROM) -lbearssl

-include $(wildcard $O/*.d $O/tests/*/*.d)

unit: $(TESTS:%=$O/%)
	tests/run $^

# Unit tests, the corpora of the fuzzers, then the program as a person would run
# it. With the JSONTestSuite beside the checkout, test_json goes through that.
test: $O/hub $(TESTS:%=$O/%) $(FUZZ:%=$O/replay_%) $O/env_dump \
      $O/xet_dump $O/hub_escape $O/hub_future
	HUB_BIN=$(abspath $O/hub) ENV_DUMP=$(abspath $O/env_dump) \
	    XET_DUMP=$(abspath $O/xet_dump) \
	    $(addprefix JSONTESTSUITE=,$(wildcard $(SUITE))) \
	    tests/run $(TESTS:%=$O/%) $(FUZZ:%=$O/replay_%) $(E2E)

SUITE = ../shared/data/JSONTestSuite/test_parsing

E2E = tests/check/manual.sh tests/check/env_compare.py tests/check/xet_compare.py \
      tests/check/hubd_check.py tests/check/hubd_xet.py tests/check/hubd_official.py \
      tests/e2e/run.py

# Against other tools, on loopback; see the head of tests/bench/bench.
bench: $O/hub $O/bench_run
	HUB_BIN=$(abspath $O/hub) BENCH_RUN=$(abspath $O/bench_run) tests/bench/bench

demo: hub
	tools/demo

# The README's picture, recorded anew: apt-get install asciinema termtosvg.
picture: hub
	tools/picture docs/download.svg

# Where each shell looks for completions of what is installed in PREFIX.
SHARE   = $(DESTDIR)$(PREFIX)/share
BASHDIR = $(SHARE)/bash-completion/completions
ZSHDIR  = $(SHARE)/zsh/site-functions
FISHDIR = $(SHARE)/fish/vendor_completions.d

install: all $O/shell/bash $O/shell/zsh $O/shell/fish
	mkdir -p $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 \
	    $(BASHDIR) $(ZSHDIR) $(FISHDIR)
	install -m 755 hub $(DESTDIR)$(BINDIR)/hub
	install -m 644 hub.1 $(DESTDIR)$(MANDIR)/man1/hub.1
	install -m 644 $O/shell/bash $(BASHDIR)/hub
	install -m 644 $O/shell/zsh $(ZSHDIR)/_hub
	install -m 644 $O/shell/fish $(FISHDIR)/hub.fish

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/hub $(DESTDIR)$(MANDIR)/man1/hub.1 \
	    $(BASHDIR)/hub $(ZSHDIR)/_hub $(FISHDIR)/hub.fish

clean:
	rm -rf build dist hub

include tests/checks.mk tools/dist.mk

.PHONY: all unit test bench demo picture install uninstall clean FORCE
.SECONDARY:
