# Binaries for other CPUs, and the Debian package. Included by the Makefile.

# Static binaries for other CPUs, with a compiler and libraries of tools/cross;
# the same bytes wherever and whenever a commit is built. CPUS: for which; all of
# them together give the table in docs/machines.md.
CPUS = x86_64 i686 aarch64 armv7 armv5 riscv64 mipsel s390x
DIST_MAX = 740000
CROSS = build/cross

# Not CFLAGS: said to another make, they take -O2 from the hashes and ciphers.
FOR_CPU = O=build/dist/$* CC=$(abspath $(CROSS)/$*/cc) \
          AR=$(shell tools/cross -t $*)-ar BEARSSL=$(CROSS)/$*/bearssl \
          BEARSSL_VERSION=$(shell tools/cross -v $(CROSS))

dist: $(CPUS:%=dist-%)
	@! find dist -name 'hub-*' -size +$(DIST_MAX)c | grep . || { \
	    echo "larger than $(DIST_MAX) bytes" >&2; exit 1; }
	cd dist && sha256sum hub-* >SHA256SUMS
ifeq ($(origin CPUS),file)
	{ echo '| CPU | bytes |'; echo '| --- | --: |'; \
	    for c in $(CPUS); do stat -c "| $$c | %s |" dist/hub-$$c; done | \
	    sed 's/\([0-9]\)\([0-9]\{3\}\) |$$/\1,\2 |/'; } | \
	    tools/between docs/machines.md sizes
endif

$(CPUS:%=dist-%): dist-%: $(CROSS)/%/ready
	$(MAKE) $(FOR_CPU) build/dist/$*/hub
	@mkdir -p dist
	cp build/dist/$*/hub dist/hub-$*

# One after the other: they share the sources. The + is for -j in what it makes.
$(CROSS)/%/ready: tools/cross
	@mkdir -p $(CROSS)
	+flock $(CROSS) tools/cross $* $(CROSS)
	@touch $@

# The unit tests and an end-to-end download and upload on all of these CPUs, by
# qemu-user where this one cannot run them; and the first one made again. With -j2 two
# CPUs at a time, so each has its programs one after the other.
test-all: $(CPUS:%=test-%) twice-$(firstword $(CPUS))

$(CPUS:%=twice-%): twice-%: dist-%
	tests/check/twice $* SOURCE_DATE_EPOCH=$(BUILD_TIME) COMMIT='$(COMMIT)'

$(CPUS:%=test-%): test-%: dist-% $O/xet_dump
	XET_DUMP=$(abspath $O/xet_dump) \
	    $(MAKE) $(FOR_CPU) test_cpu EMULATOR=$(shell tools/cross -e $*)

test_cpu: $O/hub $(TESTS:%=$O/%)
	JOBS=1 EMULATOR=$(EMULATOR) tests/run $(TESTS:%=$O/%)
	EMULATOR=$(EMULATOR) HUB_BIN=$(abspath $O/hub) tests/e2e/run.py -j2 $(E2E_CPU)

E2E_CPU = whole_repository odd_names large_and_many rsa_certificate to_standard \
	resume_after_kill ignored_range wrong_content_is_6 power_cut \
	one_and_sixteen upload.test_folder again_sends round_trip delete \
	kill_while_sending refused_commit \
	xet.test_small_chunks xet_upload.test_all_of_a_folder serve.test_log

# What a byte costs in instructions on each of them; see the head of tests/bench/insn.
insn: build/insn.so $(CPUS:%=insn-%)
	INSN=$(abspath $<) tests/bench/insn $(CPUS)

$(CPUS:%=insn-%): insn-%: dist-%
	$(MAKE) $(FOR_CPU) $(addprefix build/dist/$*/,bench_insn $(INSN_$*))

INSN_aarch64 = hub_plain bench_insn_plain

build/insn.so: tests/bench/plugin.c
	@mkdir -p $(@D)
	$(HOSTCC) -std=c11 -O2 -shared -fPIC -o $@ $<

# A Debian package. For another architecture set CC and DEB_ARCH.
DEB_ARCH = $(shell dpkg --print-architecture)
DEB      = $O/hf-hub_$(VERSION)_$(DEB_ARCH).deb

deb: all
	rm -rf $O/deb
	$(MAKE) install DESTDIR=$(abspath $O/deb) PREFIX=/usr \
	    ZSHDIR=$(abspath $O/deb)/usr/share/zsh/vendor-completions
	debian/build $O/deb $(DEB) $(VERSION) $(DEB_ARCH) $(BUILD_TIME)

.PHONY: deb dist $(CPUS:%=dist-%) test-all $(CPUS:%=test-%) test_cpu \
        $(CPUS:%=twice-%) insn $(CPUS:%=insn-%)
