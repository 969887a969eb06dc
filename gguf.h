#ifndef HUB_GGUF_H
#define HUB_GGUF_H

/*
 * Models in GGUF files: what the name of a file says, by the rules of llama.cpp
 * (common/download.cpp), MODEL-QUANT[-PART-of-PARTS].gguf, and which files
 * belong to the quantization that the user asks for. Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct err;
struct plan;

enum gguf_kind {
	GGUF_NONE, /* no GGUF file */
	GGUF_MODEL,
	GGUF_PROJECTOR, /* "mmproj": what a model sees with */
	GGUF_OTHER,     /* imatrix, draft models: goes with a model */
};

/* All views are into the path. */
struct gguf {
	enum gguf_kind kind;
	struct str stem;      /* the path without PART, PARTS and ".gguf" */
	struct str quant;     /* "Q4_K_M", "UD-Q4_K_XL", "bf16"; "": none */
	struct str tag;       /* the last word of stem, after '-' or '.' */
	unsigned part, parts; /* 1..parts; 1 and 1 if it is not split */
};

/* A model in one file or in several parts, or another GGUF file. The views are
 * into the paths of the plan. */
struct gguf_model {
	struct gguf name; /* of its first file */
	const char *path; /* of its first file */
	unsigned here;    /* parts that are in the plan */
	unsigned absent;  /* the first part that is not; 0: all are */
	uint64_t size;    /* of all parts */
};

/* Sorts the plan and gives the GGUF files in it, in the order of their paths;
 * the caller frees. NULL if there are none. */
struct gguf_model *gguf_list(struct plan *p, size_t *n);

/* The model of a quantization: the one that fits best, of several the first. ""
 * is Q4_K_M, else Q8_0, else the first model. NULL: none fits. */
const struct gguf_model *gguf_pick(
    const struct gguf_model *q, size_t n, const char *wanted);

/* Leaves in the plan only the files of that quantization, and the projector that
 * goes with it, if there is one: in the same folder or the nearest above, with
 * the nearest number of bits. id is for the sentence. ERR_ABSENT: there is no
 * such quantization, and the sentence lists those that there are; or parts of
 * it are missing. */
int gguf_choose(
    struct plan *p, const char *wanted, const char *id, struct err *e);

#endif
