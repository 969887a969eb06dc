# GNU make. `make` builds ./hub; .PHONY at the end lists the other targets.
# Set CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR or BEARSSL on the command line.

VERSION = 0.1.0
PREFIX  = /usr/local
BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
O       = build/release

CC      = musl-gcc
# For size: the network is slower than any of this, but for the hashes below.
CFLAGS  = -Os
LDFLAGS = -static -s -Wl,--gc-sections

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

$O/replay_%: $O/tests/fuzz/%.o $O/tests/fuzz/replay.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

$O/fuzz_%: $O/tests/fuzz/%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -pthread -o $@ $^ \
	    $(BEARSSL_LIB) $(LIB)

$O/bench_%: $O/tests/bench/%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

$O/env_dump: $O/tests/check/env_dump.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^

# The program as it would be built long after today: its clock is wrong.
$O/hub_future: $O/hub.o $O/future/tls.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

$O/future/tls.o: tls.c Makefile
	@mkdir -p $(@D)
	$(CC) $(OURS) -DHUB_BUILD_TIME=2208988800 $(CFLAGS) -c -o $@ $<

# The program with a fault in it; see the head of tests/e2e/escape.c.
$O/hub_escape: $O/hub.o $O/tests/e2e/escape.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -Wl,--wrap=http_head_parse \
	    -Wl,--wrap=confine_files,--wrap=confine_calls \
	    -Wl,--wrap=clock_gettime,--wrap=time -o $@ $^ $(BEARSSL_LIB) \
	    $(LIB)

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

$O/hash.o $O/hash_cpu.o: CFLAGS += -O2

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

ROOTS_FROM = tools/roots.c cert.c str.c err.c
$O/roots: $(ROOTS_FROM) cert.h str.h err.h Makefile
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
      $O/hub_escape $O/hub_future
	HUB_BIN=$(abspath $O/hub) ENV_DUMP=$(abspath $O/env_dump) \
	    $(addprefix JSONTESTSUITE=,$(wildcard $(SUITE))) \
	    tests/run $(TESTS:%=$O/%) $(FUZZ:%=$O/replay_%) $(E2E)

SUITE = ../shared/data/JSONTestSuite/test_parsing

E2E = tests/check/manual.sh tests/check/env_compare.py tests/check/hubd_check.py \
      tests/check/hubd_official.py tests/e2e/run.py

# The same tests, built another way. Each has a folder of its own, so that
# objects never mix.
asan:
	$(MAKE) test O=build/asan CC=clang LDFLAGS= CFLAGS='-O1 -g -Werror \
	    -fsanitize=address,undefined -fno-sanitize-recover=all'

# The tests in which threads have most to do; `make tsan_all` runs all.
UNIT_TSAN = client conn hasher journal lease lfs meter net pool progress wait
E2E_TSAN = jobs interrupt ctrl_c large_and_many live_display progress_json \
	two_at_once stalled_and round_trip kill_while broken_part s3_says

tsan tsan_all:
	$(MAKE) $@_run O=build/tsan CC=clang LDFLAGS= CFLAGS='-O1 -g -Werror \
	    -fsanitize=thread'

tsan_all_run: UNIT_TSAN = $(TESTS:test_%=%)
tsan_all_run: E2E_TSAN =
tsan_run tsan_all_run: $O/hub $(TESTS:%=$O/%)
	tests/run $(UNIT_TSAN:%=$O/test_%)
	HUB_BIN=$(abspath $O/hub) tests/e2e/run.py $(E2E_TSAN)

# memcheck on the units (AddressSanitizer does not know what was never set), then
# both on end-to-end tests: helgrind has another view of threads than
# ThreadSanitizer. Errors in a process that is killed stand in the logs.
# `make valgrind_all` runs all tests, for hours.
VALGRIND = valgrind -q --error-exitcode=99 --log-file=$(CURDIR)/$O/log/%p \
	--suppressions=$(CURDIR)/tests/check/valgrind.supp
MEMCHECK = $(VALGRIND) --leak-check=full --show-leak-kinds=definite \
	--errors-for-leak-kinds=definite
HELGRIND = $(VALGRIND) --tool=helgrind

UNIT_VALGRIND = answer cert chain config conn dns dotenv env http lfs_batch net \
	plan progress record repoid scan state tls token url
E2E_MEMCHECK = test_jobs test_xet_files download.test_pages test_broken_part
E2E_HELGRIND = test_jobs test_to_standard test_terminate test_round_trip \
	test_broken_part

valgrind valgrind_all:
	$(MAKE) $@_run O=build/valgrind CC=gcc LDFLAGS= CFLAGS='-O1 -g'

valgrind_all_run: UNIT_VALGRIND = $(TESTS:test_%=%)
valgrind_all_run: E2E_MEMCHECK =
valgrind_all_run: E2E_HELGRIND =
valgrind_run valgrind_all_run: $O/hub $(TESTS:%=$O/%)
	rm -rf $O/log && mkdir -p $O/log
	EMULATOR='$(MEMCHECK)' tests/run $(UNIT_VALGRIND:%=$O/test_%)
	EMULATOR='$(MEMCHECK)' HUB_BIN=$(abspath $O/hub) tests/e2e/run.py $(E2E_MEMCHECK)
	EMULATOR='$(HELGRIND)' HUB_BIN=$(abspath $O/hub) tests/e2e/run.py $(E2E_HELGRIND)
	! grep -h '^==' $O/log/*

# Each fuzzer for T seconds; tests/fuzz/corpus has what they begin with.
T = 60
fuzz:
	$(MAKE) fuzz_run O=build/fuzz CC=clang LDFLAGS= CFLAGS='-O1 -g -Werror \
	    -fsanitize=address,undefined,fuzzer-no-link \
	    -fno-sanitize-recover=all'

fuzz_run: $(FUZZ:%=$O/fuzz_%)
	tests/fuzz/run $T $^

# Our reader of .env files against python-dotenv.
env_compare: $O/env_dump
	tests/check/env_compare.py $O/env_dump

# Against other tools, on loopback; see the head of tests/bench/bench.
bench: $O/hub $O/bench_run
	HUB_BIN=$(abspath $O/hub) BENCH_RUN=$(abspath $O/bench_run) tests/bench/bench

demo: hub
	tools/demo

# Each file by itself, so that -j helps and only what changed is looked at again.
# gcc is told of -O1: its analyzer wants to know what is inlined. Exceptions stand
# in the code; what is looked for, in .clang-tidy and tests/.clang-tidy.
L = build/lint
LINT_C = $(wildcard *.c tools/*.c)
LINT_T = $(wildcard tests/*/*.c)
SHELL_FILES = debian/build tools/cross tests/run tests/check/twice tools/demo tests/fuzz/run \
              tests/*/*.sh .ci/run
PYTHON_FILES = $(wildcard tests/*/*.py tests/e2e/fakehub/*.py tests/bench/bench tests/bench/insn)

lint: $(LINT_C:%=$L/%.ok) $(LINT_T:%=$L/%.ok)
	clang-format --dry-run -Werror *.[ch] tests/*/*.[ch] tools/*.c
	for h in *.h; do \
	    $(CC) $(OURS) -MF /dev/null -fsyntax-only -x c $$h || exit 1; done
	! grep -nE '(^|[^a-z0-9_])($(BANNED))\(' *.[ch]
	mandoc -Tlint -W style hub.1
	shellcheck $(SHELL_FILES)
	pyflakes3 $(PYTHON_FILES)

$(LINT_C:%=$L/%.ok): $L/%.ok: % .clang-tidy Makefile
	@mkdir -p $(@D)
	@echo lint $<
	@gcc $(LINT_OURS) -O1 -fanalyzer -Werror -MF $@.d -MT $@ -c -o /dev/null $<
	@cppcheck $(CPPCHECK) $<
	@$(TIDY) $< -- $(LINT_OURS) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

$(LINT_T:%=$L/%.ok): $L/%.ok: % .clang-tidy tests/.clang-tidy Makefile
	@mkdir -p $(@D)
	@echo lint $<
	@gcc $(LINT_OURS) -Werror -MF $@.d -MT $@ -fsyntax-only $<
	@cppcheck $(CPPCHECK) $<
	@$(TIDY) $< -- $(LINT_OURS) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

LINT_OURS = $(OURS) -DHUB_BUILD_TIME=0 -DHUB_BEARSSL='""' -DHUB_COMMIT='""'

TIDY = clang-tidy --quiet

# readdirCalled: readdir_r() is the worse one, and POSIX.1-2024 drops it.
# doubleFree: parse() of that test gives a new copy each time.
CPPCHECK = --quiet --std=c11 --language=c --library=posix --inline-suppr \
	--enable=warning,portability,performance --error-exitcode=1 \
	--suppress=readdirCalled --suppress=doubleFree:tests/unit/http.c \
	$(filter -D% -I.,$(LINT_OURS))

# What has a bound, a lock or an error to ask for is used in their place.
BANNED = sprintf|vsprintf|strcpy|strcat|strncpy|strncat|stpcpy|strtok|sscanf|$\
         scanf|gets|atoi|atol|atoll|atof|alloca|gmtime|localtime|ctime|$\
         asctime|rand|srand|random|setenv|putenv|mktemp|tmpnam|tempnam|$\
         system|popen|signal|usleep|gethostbyname|inet_ntoa|strsignal|$\
         setlocale|bcopy|bzero

-include $(wildcard $L/*.d $L/tests/*/*.d $L/tools/*.d)

fmt:
	clang-format -i *.[ch] tests/*/*.[ch] tools/*.c

# Static binaries for other CPUs, with a compiler and libraries of tools/cross;
# the same bytes wherever and whenever a commit is built. CPUS: for which.
CPUS = x86_64 i686 aarch64 armv7 armv5 riscv64 mipsel s390x
DIST_MAX = 600000
CROSS = build/cross

# Not CFLAGS: said to another make, they take -O2 from the hashes.
FOR_CPU = O=build/dist/$* CC=$(abspath $(CROSS)/$*/cc) \
          AR=$(shell tools/cross -t $*)-ar BEARSSL=$(CROSS)/$*/bearssl \
          BEARSSL_VERSION=$(shell tools/cross -v $(CROSS))

dist: $(CPUS:%=dist-%)
	@! find dist -name 'hub-*' -size +$(DIST_MAX)c | grep . || { \
	    echo "larger than $(DIST_MAX) bytes" >&2; exit 1; }
	cd dist && sha256sum hub-* >SHA256SUMS

$(CPUS:%=dist-%): dist-%: $(CROSS)/%/ready
	$(MAKE) $(FOR_CPU) build/dist/$*/hub
	@mkdir -p dist
	cp build/dist/$*/hub dist/hub-$*

# One after the other: they share the sources.
$(CROSS)/%/ready: tools/cross
	@mkdir -p $(CROSS)
	flock $(CROSS) tools/cross $* $(CROSS)
	@touch $@

# The unit tests and an end-to-end download and upload on all of these CPUs, by
# qemu-user where this one cannot run them; and the first one made again.
test-all: $(CPUS:%=test-%) twice-$(firstword $(CPUS))

$(CPUS:%=twice-%): twice-%: dist-%
	tests/check/twice $* SOURCE_DATE_EPOCH=$(BUILD_TIME) COMMIT='$(COMMIT)'

$(CPUS:%=test-%): test-%: dist-%
	$(MAKE) $(FOR_CPU) test_cpu EMULATOR=$(shell tools/cross -e $*)

test_cpu: $O/hub $(TESTS:%=$O/%)
	EMULATOR=$(EMULATOR) tests/run $(TESTS:%=$O/%)
	EMULATOR=$(EMULATOR) HUB_BIN=$(abspath $O/hub) tests/e2e/run.py $(E2E_CPU)

E2E_CPU = whole_repository odd_names large_and_many rsa_certificate to_standard \
	resume_after_kill ignored_range wrong_content_is_6 power_cut \
	one_and_sixteen upload.test_folder again_sends round_trip delete \
	kill_while_sending refused_commit

# What a byte costs in instructions on each of them; see the head of tests/bench/insn.
insn: build/insn.so $(CPUS:%=insn-%)
	INSN=$(abspath $<) tests/bench/insn $(CPUS)

$(CPUS:%=insn-%): insn-%: dist-%
	$(MAKE) $(FOR_CPU) build/dist/$*/bench_insn

build/insn.so: tests/bench/plugin.c
	@mkdir -p $(@D)
	$(HOSTCC) -std=c11 -O2 -shared -fPIC -o $@ $<

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

# A Debian package. For another architecture set CC and DEB_ARCH.
DEB_ARCH = $(shell dpkg --print-architecture)
DEB      = $O/hf-hub_$(VERSION)_$(DEB_ARCH).deb

.PHONY: deb
deb: all
	rm -rf $O/deb
	$(MAKE) install DESTDIR=$(abspath $O/deb) PREFIX=/usr \
	    ZSHDIR=$(abspath $O/deb)/usr/share/zsh/vendor-completions
	debian/build $O/deb $(DEB) $(VERSION) $(DEB_ARCH) $(BUILD_TIME)

clean:
	rm -rf build dist hub

.PHONY: all unit test asan tsan tsan_run tsan_all tsan_all_run valgrind \
        valgrind_run valgrind_all valgrind_all_run fuzz fuzz_run env_compare \
        bench demo lint fmt install uninstall clean FORCE
.PHONY: dist $(CPUS:%=dist-%) test-all $(CPUS:%=test-%) test_cpu \
        $(CPUS:%=twice-%) insn $(CPUS:%=insn-%)
.SECONDARY:
