#include "version.h"

#include <inttypes.h>

#include "cert.h"
#include "hash.h"
#include "json.h"
#include "mem.h"
#include "roots.h"
#include "str.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

#if defined(__x86_64__)
#define ARCHITECTURE "x86_64"
#elif defined(__i386__)
#define ARCHITECTURE "i386"
#elif defined(__aarch64__)
#define ARCHITECTURE "aarch64"
#elif defined(__ARM_PCS_VFP)
#define ARCHITECTURE "armv" TEXT(__ARM_ARCH) " hard-float"
#elif defined(__arm__)
#define ARCHITECTURE "armv" TEXT(__ARM_ARCH) " soft-float"
#elif defined(__riscv)
#define ARCHITECTURE "riscv" TEXT(__riscv_xlen)
#elif defined(__s390x__)
#define ARCHITECTURE "s390x"
#elif defined(__MIPSEL__)
#define ARCHITECTURE "mipsel"
#elif defined(__mips__)
#define ARCHITECTURE "mips"
#else
#define ARCHITECTURE "unknown"
#endif

/* Where the Hub's answers lead, as of 2026-11. By pattern, since regions and
 * names come and go; the Hub has a list at /.well-known/meta.json. */
static const char *const download_hosts[] = {
    "*.cdn.hf.co",
    "*.xethub.hf.co",
    "*.xethub-eu.hf.co",
    "cdn-lfs.hf.co",
    "cdn-lfs-us-1.hf.co",
    "cdn-lfs-eu-1.hf.co",
};

static const char *const upload_hosts[] = {
    "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com",
};

void
version_put(struct buf *out)
{
	buf_printf(out,
	    "hub " HUB_VERSION "\n"
	    "TLS by BearSSL " HUB_BEARSSL
	    "; %zu built-in roots of trust, as of %s\n",
	    roots_count, roots_date);
}

static void
put_text(const char *name, const char *value, struct buf *out)
{
	buf_printf(out, ",\"%s\":", name);
	json_put_string(out, str_of(value));
}

static void
put_hosts(const char *name, const char *const *host, size_t n, struct buf *out)
{
	buf_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s\"%s\"", i ? "," : "", host[i]);
	buf_putc(out, ']');
}

/* The time of the sources, in seconds since 1970. */
static void
put_time(int64_t t, struct buf *out)
{
	unsigned second = (unsigned)(t % 86400);
	char day[32];

	cert_day(t, day);
	buf_printf(out, ",\"source_time\":\"%sT%02u:%02u:%02uZ\"", day,
	    second / 3600, second / 60 % 60, second % 60);
}

void
version_put_json(struct buf *out)
{
	static const char *const fixed[] = {"huggingface.co"};

	buf_puts(out, "{\"version\":\"" HUB_VERSION "\"");
	if (*HUB_COMMIT)
		put_text("commit", HUB_COMMIT, out);
	else
		buf_puts(out, ",\"commit\":null");
	put_time(HUB_BUILD_TIME, out);
	put_text("compiler", COMPILER, out);
	put_text("architecture", ARCHITECTURE, out);
	put_text("bearssl", HUB_BEARSSL, out);
	put_text("hashing", hash_implementation(), out);
	buf_printf(out,
	    ",\"roots\":{\"count\":%zu,\"date\":\"%s\",\"sha256\":\"%s\"}",
	    roots_count, roots_date, roots_sha256);
	buf_puts(out, ",\"hosts\":{\"note\":\"fixed unless --endpoint or "
		      "HF_ENDPOINT; the others are chosen by the Hub and may "
		      "change\"");
	put_hosts("fixed", fixed, countof(fixed), out);
	put_hosts("download", download_hosts, countof(download_hosts), out);
	put_hosts("upload", upload_hosts, countof(upload_hosts), out);
	buf_puts(out, "}}\n");
}
