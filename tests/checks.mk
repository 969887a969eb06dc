# What tests and looks at the code: special builds, sanitizers, Valgrind, fuzzers, lint.
# Included by the Makefile.

$O/replay_%: $O/tests/fuzz/%.o $O/tests/fuzz/replay.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

$O/fuzz_%: $O/tests/fuzz/%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -pthread -o $@ $^ \
	    $(BEARSSL_LIB) $(LIB)

# It has blake3.c in it.
$O/tests/bench/xet.o: CFLAGS += -O2

$O/bench_%: $O/tests/bench/%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

# As on a CPU without the instructions for AES and hashes; see the head of
# tests/bench/plain.c.
$O/hub_plain: $O/hub.o $O/tests/bench/plain.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -Wl,--wrap=getauxval -o $@ $^ \
	    $(BEARSSL_LIB) $(LIB)

$O/bench_insn_plain: $O/tests/bench/insn.o $O/tests/bench/plain.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -Wl,--wrap=getauxval -o $@ $^ \
	    $(BEARSSL_LIB) $(LIB)

$O/env_dump $O/xet_dump: $O/%: $O/tests/check/%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

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

# The same tests, built another way. Each has a folder of its own, so that
# objects never mix.
asan:
	$(MAKE) test O=build/asan CC=clang LDFLAGS= CFLAGS='-O1 -g -Werror \
	    -fsanitize=address,undefined -fno-sanitize-recover=all'

# What takes hours: hundreds of kills, each system call that can fail, and the
# code broken in each place that tests/check/mutants.txt names.
LONG = faults. transfer. upload_truth. xet.test_ serve. xet_upload.test_

test-long: $O/hub
	HUB_LONG=1 HUB_BIN=$(abspath $O/hub) tests/e2e/run.py $(LONG)
	$(MAKE) mutants

# The tests in which threads have most to do; `make tsan_all` runs all but net: glibc
# looks names up in threads of its own, which ThreadSanitizer does not know.
UNIT_TSAN = client client_redirect client_wait conn crew hasher journal lease lfs meter mover pool progress wait
E2E_TSAN = jobs interrupt_ ctrl_c large_and_many live_display progress_json \
	two_at_once stalled_and round_trip kill_while broken_part s3_says \
	serve.test_many serve.test_log serve.test_looks serve.test_long_requests serve.test_tls

tsan tsan_all:
	$(MAKE) $@_run O=build/tsan CC=clang LDFLAGS= CFLAGS='-O1 -g -Werror \
	    -fsanitize=thread'

tsan_all_run: UNIT_TSAN = $(filter-out net,$(TESTS:test_%=%))
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
	plan progress repoid scan state tls token url
E2E_MEMCHECK = test_jobs test_xet_files download.test_pages test_broken_part \
	serve.test_hostile serve.test_only
E2E_HELGRIND = test_jobs test_to_standard test_terminate test_round_trip \
	test_broken_part serve.test_log serve.test_many

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

# Whether the tests notice small faults; see the head of tests/check/mutants.
mutants:
	tests/check/mutants

# Our reader of .env files against python-dotenv.
env_compare: $O/env_dump
	tests/check/env_compare.py $O/env_dump

# Our BLAKE3 and LZ4 against the packages blake3 and lz4.
xet_compare: $O/xet_dump
	tests/check/xet_compare.py $O/xet_dump

# Each file by itself, so that -j helps and only what changed is looked at again.
# gcc is told of -O1: its analyzer wants to know what is inlined. Exceptions stand
# in the code; what is looked for, in .clang-tidy and tests/.clang-tidy.
L = build/lint
LINT_C = $(wildcard *.c tools/*.c)
LINT_T = $(wildcard tests/*/*.c)
SHELL_FILES = debian/build tools/between tools/cross tools/demo tools/picture tests/run \
              tests/check/bare tests/check/interop tests/check/twice tests/fuzz/run tests/*/*.sh .ci/run
PYTHON_FILES = $(wildcard tests/*/*.py tests/e2e/fakehub/*.py tests/bench/bench tests/bench/insn \
               tests/check/mutants)

# Each .c at the top has two callers, or a fuzzer or fake that stands on it, or a name
# that a stranger would look for. One more needs its reason in the commit: 38 of the
# first plan, dns, on which a fuzzer stands, cipher_cpu: intrinsics of other CPUs do
# not belong into tls, and its test and bench look at it alone; cache, the layout that
# plan and download share, with a fuzzer on the listing; blake3, lz4 and chunk for Xet, and
# xet, which asks its storage; gguf, which ls and download share; ls, verify and serve,
# which are commands; litter, which download and verify call, and repair, which partial
# and verify call: partial is about a file that is arriving.
# And listing: which files are wanted, and where their list comes from, is not how they
# are fetched; and site, what serve finds and has proved, which knows nothing of HTTP,
# and reply, what its API answers, which knows no sockets, and on which a fuzzer stands.
# peer is one connection of serve, which has the command, the threads and the loop.
# xetup: what a file still needs in the Xet storage, beside lfs, which sends it.
SOURCES = 56

lint: $(LINT_C:%=$L/%.ok) $(LINT_T:%=$L/%.ok)
	@test $(words $(wildcard *.c)) -le $(SOURCES) || { \
	    echo 'more .c files than SOURCES in tests/checks.mk' >&2; exit 1; }
	clang-format --dry-run -Werror *.[ch] tests/*/*.[ch] tools/*.c
	for h in *.h; do \
	    $(CC) $(OURS) -MF /dev/null -fsyntax-only -x c $$h || exit 1; done
	! grep -nE '(^|[^a-z0-9_])($(BANNED))\(' *.[ch]
	! grep -nE '"[^"]*\b([a-z]+) \1 ' *.c  # a word twice in a message
	mandoc -Tlint -W style hub.1
	shellcheck $(SHELL_FILES)
	pyflakes3 $(PYTHON_FILES)
	tests/check/mutants -n

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

# clang's analyzer stops after 75,000 states of a function, not after 225,000: that takes a
# third of the time, and gcc's analyzer, with limits of its own, has looked before it.
TIDY = clang-tidy --quiet $(addprefix --extra-arg=,-Xclang -analyzer-config -Xclang max-nodes=75000)

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

.PHONY: test-long mutants asan tsan tsan_run tsan_all tsan_all_run valgrind valgrind_run \
        valgrind_all valgrind_all_run fuzz fuzz_run env_compare xet_compare lint fmt
