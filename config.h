#ifndef HUB_CONFIG_H
#define HUB_CONFIG_H

/*
 * Every setting, decided once: options override the configuration file, which
 * overrides environment, .env and token file. Reads files and the environment
 * at the start of the run; what it gives is read-only after that. Where the
 * token is looked for stands in token.h.
 *
 * Times: 30 s to connect, 60 s for the first byte of an answer, 30 s for a
 * stall. HF_HUB_ETAG_TIMEOUT (connect, answer) and HF_HUB_DOWNLOAD_TIMEOUT
 * (answer, stall) only raise them: the official client's defaults are 10 s, and
 * users raise them for slow lines. --timeout and --stall-timeout set them.
 *
 * Without HOME there is no '~': a path that needs it is an error.
 */

#include <stdbool.h>
#include <stdint.h>

#include "api.h"
#include "conn.h"
#include "env.h"
#include "option.h"
#include "str.h"
#include "token.h"

struct err;

/* --- How many connections. --- */

/*
 * Chooses the number of connections, if the user does not: by memory, cores and
 * file system.
 */

/* Address space in bytes of a run with its threads, and of each connection,
 * also of one to the Xet storage; tests/e2e/boards.py runs within that. */
#define JOBS_BASE ((uint64_t)2 << 20)
#define JOBS_EACH ((uint64_t)512 << 10)
#define JOBS_EACH_XET ((uint64_t)1 << 20)

/* The first one where an upload compresses: with what it knows of chunks. */
#define JOBS_BASE_PACKING ((uint64_t)16 << 20)

/* More do not compress at the same time. */
#define JOBS_PACKING 4

/* The same in open files: two contents, each with its state, the connection,
 * and folders on the way to them; and small ones that wait for the disk. */
#define JOBS_FILES_BASE 12
#define JOBS_FILES_EACH 8
#define JOBS_FILES_WAIT(n) ((n) / 16 * 3)

#define JOBS_MOST 8

/* The kind of file system that is written to. */
enum jobs_ground {
	JOBS_DISK,
	JOBS_FLASH,   /* few files at a time are faster */
	JOBS_NETWORK, /* each operation waits for the network */
};

/* Of a machine; UINT64_MAX is "no limit" or "not known". */
struct jobs_machine {
	uint64_t process; /* bytes that the process may take (ulimit) */
	uint64_t group;   /* that its control group may, with the page cache */
	uint64_t ram;     /* bytes that the machine has */
	uint64_t files;   /* files that the process may have open (ulimit) */
	unsigned cores;   /* 0: not known */
};

struct jobs_choice {
	unsigned n; /* 1..JOBS_MOST */
	const char *why;
};

/* xet: connections may be to the Xet storage. Pure. */
struct jobs_choice jobs_choose(
    const struct jobs_machine *m, enum jobs_ground ground, bool xet);

/* How many of these connections may compress at the same time, which takes that
 * many bytes each: 0..JOBS_PACKING. Pure. */
unsigned jobs_packing(
    const struct jobs_machine *m, unsigned jobs, uint64_t each);

/* --- The settings. --- */

struct config {
	char *endpoint;     /* without '/' at the end */
	char *token;        /* NULL: none */
	char *token_source; /* "--api_token", "HF_TOKEN in .env", ...; NULL */
	/* Files that contain tokens: the one that token is from, the .env that
	 * the configuration names, the two of the official client. NULL:
	 * none. */
	char *secret_file[4];
	/* --offline, else HF_HUB_OFFLINE, else TRANSFORMERS_OFFLINE: which of
	 * them it was, and what to do to be online. NULL: not offline. */
	const char *offline, *go_online;
	/* --cache-dir, else HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else
	 * "hub" in hf_home; NULL if there is no HOME. */
	char *cache_dir;
	bool no_symlinks; /* HF_HUB_DISABLE_SYMLINKS */
	bool no_xet;      /* --no-xet, else HF_HUB_DISABLE_XET */
	char *hf_home;    /* NULL if there is no HOME */
	char *state_home; /* XDG_STATE_HOME, ~/.local/state; NULL: no HOME */
	struct proxy_rules proxy; /* of the environment or the options */
	enum net_family family;
	/* CA files and folders to add to the built-in roots: --ca-file,
	 * SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE. */
	char *ca_file[4];
	const char *ca_source[4];
	char *ca_dir; /* SSL_CERT_DIR; may be a list with ':' */
	unsigned connect_ms, answer_ms, stall_ms;
	unsigned retries; /* tries after the first without progress */
	unsigned jobs;    /* connections in total; 0: to be chosen */
	struct jobs_machine machine; /* for that choice */
	uint64_t rate;               /* 0: no limit */
	enum progress_mode progress; /* AUTO is resolved by progress.c */
	bool quiet, verbose, json;
	char *term; /* TERM; NULL: unset */
	bool ci;    /* CI is set and not empty */
	/* Notes for the user, one a line, each a full sentence without
	 * "hub: ". Those for -v are in there only with -v. */
	struct buf notes;
};

struct config_input {
	const struct options *options;
	enum token_purpose purpose;
	struct variables variables; /* the environment */
};

/* Errors are ERR_USAGE (bad configuration or .env line, a named file that
 * cannot be read), or ERR_FILE. */
int config_load(
    const struct config_input *in, struct config *out, struct err *e);
void config_release(struct config *c); /* wipes the token */

#endif
