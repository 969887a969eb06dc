# GNU make. `make` builds ./hub; .PHONY at the end lists the other targets.
# Set CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR or BEARSSL on the command line.

VERSION = 0.1.0
PREFIX  = /usr/local
BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
O       = build/release

CC      = musl-gcc
CFLAGS  = -O2
LDFLAGS = -static -s

# The compiler for what runs while building (tools/roots).
HOSTCC  = cc

# BEARSSL=DIR: a BearSSL source tree that was built there (DIR/inc and
# DIR/build/libbearssl.a). Else the one of the system; by its full path, since
# -L of its folder would bring the system's libc, too.
ifdef BEARSSL
BEARSSL_INC = -I$(BEARSSL)/inc
BEARSSL_LIB = $(BEARSSL)/build/libbearssl.a
else
BEARSSL_INC = -idirafter /usr/include
BEARSSL_LIB = $(shell $(HOSTCC) -print-file-name=libbearssl.a)
endif

# Where Debian's ca-certificates puts the roots that are built in.
ROOTS = /usr/share/ca-certificates/mozilla

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wconversion \
       -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
       -Wwrite-strings -Wformat=2 -Wswitch-enum -Wimplicit-fallthrough \
       -Wframe-larger-than=16384
OURS = -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 \
       -DHUB_VERSION='"$(VERSION)"' -pthread -MMD -MP -I. $(BEARSSL_INC) $(WARN)

UNITS = $(filter-out hub,$(basename $(wildcard *.c)))
TESTS = $(basename $(notdir $(wildcard tests/test_*.c)))
LIB   = $O/libhub.a

all: hub

hub: $O/hub
	cp $< $@

$O/hub: $O/hub.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

$O/test_%: $O/tests/test_%.o $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(BEARSSL_LIB) $(LIB)

# All units but main; a program takes from it what it needs.
$(LIB): $(UNITS:%=$O/%.o)
	rm -f $@
	$(AR) rcs $@ $^

$O/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(OURS) $(CFLAGS) -c -o $@ $<

-include $(wildcard $O/*.d $O/tests/*.d)

unit: $(TESTS:%=$O/%)
	tests/run $^

clean:
	rm -rf build hub

.PHONY: all unit clean
.SECONDARY:
