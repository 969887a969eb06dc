/* Names of GGUF files, and which of them a quantization stands for. The names
 * are of public repositories. */

#include "../../gguf.c"
#include "err.h"
#include "plan.h"
#include "str.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
test_names(void)
{
	static const struct {
		const char *path;
		enum gguf_kind kind;
		const char *quant, *tag, *stem;
		unsigned part, parts, bits;
	} t[] = {
	    {"Llama-3.2-1B-Instruct-Q4_K_M.gguf", GGUF_MODEL, "Q4_K_M",
		"Q4_K_M", "Llama-3.2-1B-Instruct-Q4_K_M", 1, 1, 4},
	    {"llama-2-7b-chat.Q5_K_S.gguf", GGUF_MODEL, "Q5_K_S", "Q5_K_S",
		"llama-2-7b-chat.Q5_K_S", 1, 1, 5},
	    {"qwen2.5-0.5b-instruct-fp16.gguf", GGUF_MODEL, "fp16", "fp16",
		"qwen2.5-0.5b-instruct-fp16", 1, 1, 16},
	    {"qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", GGUF_MODEL,
		"q4_k_m", "q4_k_m", "qwen2.5-7b-instruct-q4_k_m", 1, 2, 4},
	    {"UD-Q4_K_XL/Qwen3-235B-A22B-UD-Q4_K_XL-00003-of-00003.gguf",
		GGUF_MODEL, "UD-Q4_K_XL", "Q4_K_XL",
		"UD-Q4_K_XL/Qwen3-235B-A22B-UD-Q4_K_XL", 3, 3, 4},
	    {"BF16/DeepSeek-R1.BF16-00001-of-00030.gguf", GGUF_MODEL, "BF16",
		"BF16", "BF16/DeepSeek-R1.BF16", 1, 30, 16},
	    {"Q8_0/weights-00001-of-00002.gguf", GGUF_MODEL, "Q8_0", "weights",
		"Q8_0/weights", 1, 2, 8},
	    {"gpt-oss-20b-mxfp4.gguf", GGUF_MODEL, "mxfp4", "mxfp4",
		"gpt-oss-20b-mxfp4", 1, 1, 4},
	    {"gpt-oss-120b-MXFP4_MOE.gguf", GGUF_MODEL, "MXFP4_MOE",
		"MXFP4_MOE", "gpt-oss-120b-MXFP4_MOE", 1, 1, 4},
	    {"Falcon3-7B-Instruct-1.58bit-TQ2_0.gguf", GGUF_MODEL, "TQ2_0",
		"TQ2_0", "Falcon3-7B-Instruct-1.58bit-TQ2_0", 1, 1, 2},
	    {"Mistral-Nemo.i1-IQ3_XXS.gguf", GGUF_MODEL, "IQ3_XXS", "IQ3_XXS",
		"Mistral-Nemo.i1-IQ3_XXS", 1, 1, 3},
	    {"Meta-Llama-3-8B-Instruct-Q4_0_4_8.gguf", GGUF_MODEL, "Q4_0_4_8",
		"Q4_0_4_8", "Meta-Llama-3-8B-Instruct-Q4_0_4_8", 1, 1, 4},
	    {"ggml-model-f16.gguf", GGUF_MODEL, "f16", "f16", "ggml-model-f16",
		1, 1, 16},
	    {"model_Q4_K_M.gguf", GGUF_MODEL, "Q4_K_M", "model_Q4_K_M",
		"model_Q4_K_M", 1, 1, 4},
	    {"Phi-3-mini-4k-instruct-Q4_K_M-imat.gguf", GGUF_MODEL, "Q4_K_M",
		"imat", "Phi-3-mini-4k-instruct-Q4_K_M-imat", 1, 1, 4},
	    /* What only looks like one. */
	    {"model-Q4_K\x1b[2J.gguf", GGUF_MODEL, "", "Q4_K\x1b[2J",
		"model-Q4_K\x1b[2J", 1, 1, 4},
	    {"Phi-3-mini-4k-instruct.gguf", GGUF_MODEL, "", "instruct",
		"Phi-3-mini-4k-instruct", 1, 1, 0},
	    {"QwQ-32B.gguf", GGUF_MODEL, "", "32B", "QwQ-32B", 1, 1, 32},
	    {"Q-Former-Q9_K.gguf", GGUF_MODEL, "", "Q9_K", "Q-Former-Q9_K", 1,
		1, 9},
	    {"model-F160.gguf", GGUF_MODEL, "", "F160", "model-F160", 1, 1,
		160},
	    {"flux1-dev-Q4K.gguf", GGUF_MODEL, "", "Q4K", "flux1-dev-Q4K", 1, 1,
		4},
	    {"a-00001-of-00000.gguf", GGUF_MODEL, "", "00000",
		"a-00001-of-00000", 1, 1, 0},
	    {"a-00003-of-00002.gguf", GGUF_MODEL, "", "00002",
		"a-00003-of-00002", 1, 1, 2},
	    {"a-1-of-2.gguf", GGUF_MODEL, "", "2", "a-1-of-2", 1, 1, 2},
	    {"A-Q8_0.GGUF", GGUF_MODEL, "Q8_0", "Q8_0", "A-Q8_0", 1, 1, 8},
	    {"a-00001-OF-00002.gguf", GGUF_MODEL, "", "a", "a", 1, 2, 0},
	    /* Others. */
	    {"mmproj-BF16.gguf", GGUF_PROJECTOR, "BF16", "BF16", "mmproj-BF16",
		1, 1, 16},
	    {"llava-v1.5-7b-mmproj-model-f16.gguf", GGUF_PROJECTOR, "f16",
		"f16", "llava-v1.5-7b-mmproj-model-f16", 1, 1, 16},
	    {"Qwen3-30B.imatrix.gguf", GGUF_OTHER, "", "imatrix",
		"Qwen3-30B.imatrix", 1, 1, 0},
	    {"mtp-Q8_0.gguf", GGUF_OTHER, "Q8_0", "Q8_0", "mtp-Q8_0", 1, 1, 8},
	    {"config.json", GGUF_NONE, "", "", "config.json", 1, 1, 0},
	    {".gguf", GGUF_NONE, "", "", ".gguf", 1, 1, 0},
	    {"x.gguf.part", GGUF_NONE, "", "", "x.gguf.part", 1, 1, 0},
	    {"-.gguf", GGUF_MODEL, "", "", "-", 1, 1, 0},
	    {"-00001-of-00002.gguf", GGUF_MODEL, "", "00002", "-00001-of-00002",
		1, 1, 2},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct gguf g = gguf_parse(t[i].path);

		CHECK_ROW(i, g.kind == t[i].kind);
		CHECK_ROW(i, str_eq(g.quant, t[i].quant));
		CHECK_ROW(i, g.kind == GGUF_NONE || str_eq(g.tag, t[i].tag));
		CHECK_ROW(i, str_eq(g.stem, t[i].stem));
		CHECK_ROW(i, g.part == t[i].part && g.parts == t[i].parts);
		CHECK_ROW(i, g.kind == GGUF_NONE || gguf_bits(&g) == t[i].bits);
	}
}

static void
test_fits(void)
{
	static const struct {
		const char *path, *quant;
		unsigned fits;
	} t[] = {
	    {"a-Q4_K_M.gguf", "Q4_K_M", 3},
	    {"a-Q4_K_M.gguf", "q4_k_m", 3},
	    {"a-q4_k_m.gguf", "Q4_K_M", 3},
	    {"a-UD-Q4_K_XL.gguf", "UD-Q4_K_XL", 3},
	    {"a-UD-Q4_K_XL.gguf", "ud-q4_k_xl", 3},
	    {"a-UD-Q4_K_XL.gguf", "Q4_K_XL", 2},
	    {"a-Instruct.gguf", "instruct", 2},
	    {"a-Q4_K_M-imat.gguf", "Q4_K_M-imat", 1},
	    {"F16/a-F16-new.gguf", "F16", 3},
	    {"a-F16-Q8_0.gguf", "F16", 1},
	    /* Part of another word. */
	    {"a-BF16.gguf", "F16", 0},
	    {"a-IQ4_XS.gguf", "Q4_XS", 0},
	    {"a-Q4_K_M.gguf", "Q4_K", 0},
	    {"a-Q4_K_M.gguf", "Q4", 0},
	    {"a-Q4_K_M.gguf", "", 0},
	    {"a-Q4_K_M.txt", "Q4_K_M", 0},
	};

	for (size_t i = 0; i < countof(t); i++)
		CHECK_ROW(i, gguf_fits(t[i].path, t[i].quant) == t[i].fits);
}

/* The files with a blank between, each of as many bytes as its name has. */
static void
fill(struct plan *p, const char *files)
{
	struct str rest = str_of(files), name = rest;

	*p = (struct plan){.file = NULL};
	while (rest.n) {
		struct repo_file f;

		name = rest;
		if (!str_cut(rest, ' ', &name, &rest))
			rest.n = 0;
		f = (struct repo_file){.path = str_dup(name), .size = name.n};
		plan_add(p, &f);
		free(f.path);
	}
}

static void
test_choice(void)
{
	static const struct {
		const char *files, *quant;
		const char *chosen; /* in the order of the paths; NULL: error */
		const char *said;
	} t[] = {
	    {"README.md a-Q2_K.gguf a-Q4_K_M.gguf a-Q8_0.gguf", "Q8_0",
		"a-Q8_0.gguf", NULL},
	    {"a-Q8_0.gguf a-Q2_K.gguf a-Q4_K_M.gguf", "", "a-Q4_K_M.gguf",
		NULL},
	    {"a-Q8_0.gguf a-Q2_K.gguf", "", "a-Q8_0.gguf", NULL},
	    {"b.gguf a-Q3_K.gguf imatrix.gguf", "", "a-Q3_K.gguf", NULL},
	    {"imatrix-Q4_K_M.gguf b.gguf", "", "b.gguf", NULL},
	    {"a-q4_k_m-00002-of-00003.gguf a-q4_k_m-00003-of-00003.gguf "
	     "a-q4_k_m-00001-of-00003.gguf a-q8_0.gguf",
		"Q4_K_M",
		"a-q4_k_m-00001-of-00003.gguf a-q4_k_m-00002-of-00003.gguf "
		"a-q4_k_m-00003-of-00003.gguf",
		NULL},
	    /* Missing parts. */
	    {"a-Q8_0-00001-of-00003.gguf a-Q8_0-00003-of-00003.gguf", "Q8_0",
		NULL, "part 2 of 3 of 'a-Q8_0' is missing in 'org/x'"},
	    {"a-Q8_0-00002-of-00002.gguf", "Q8_0", NULL, "part 1 of 2"},
	    {"a-Q8_0-00001-of-00002.gguf", "", NULL, "part 2 of 2"},
	    /* The same number of parts does not make it the same file. */
	    {"a-Q8_0-00001-of-00002.gguf a-Q8_0-00002-of-00003.gguf", "Q8_0",
		NULL, "part 2 of 2"},
	    {"a-Q8_0-00001-of-00002.gguf a-Q8_0-00001-of-00003.gguf "
	     "a-Q8_0-00002-of-00002.gguf",
		"Q8_0", "a-Q8_0-00001-of-00002.gguf a-Q8_0-00002-of-00002.gguf",
		NULL},
	    /* Projectors. */
	    {"a-Q4_K_M.gguf mmproj-BF16.gguf mmproj-F16.gguf mmproj-F32.gguf",
		"Q4_K_M", "a-Q4_K_M.gguf mmproj-BF16.gguf", NULL},
	    {"a-Q8_0.gguf mmproj-a-F16.gguf mmproj-a-Q8_0.gguf", "Q8_0",
		"a-Q8_0.gguf mmproj-a-Q8_0.gguf", NULL},
	    {"x/a-Q8_0.gguf mmproj-F16.gguf x/mmproj-F32.gguf "
	     "y/mmproj-Q8_0.gguf",
		"Q8_0", "x/a-Q8_0.gguf x/mmproj-F32.gguf", NULL},
	    {"x/a-Q8_0.gguf y/mmproj-Q8_0.gguf", "Q8_0", "x/a-Q8_0.gguf", NULL},
	    {"xy/a-Q8_0.gguf x/mmproj-Q8_0.gguf", "Q8_0", "xy/a-Q8_0.gguf",
		NULL},
	    /* Several folders. */
	    {"Q8_0/a-Q8_0-00001-of-00002.gguf Q8_0/a-Q8_0-00002-of-00002.gguf "
	     "BF16/a-BF16-00001-of-00001.gguf F16/a-F16.gguf",
		"F16", "F16/a-F16.gguf", NULL},
	    {"13b/a-Q8_0.gguf 7b/a-Q8_0.gguf", "Q8_0", "13b/a-Q8_0.gguf", NULL},
	    /* The plain one before the other. */
	    {"a-UD-Q4_K_M.gguf b-Q4_K_M.gguf", "Q4_K_M", "b-Q4_K_M.gguf", NULL},
	    {"a-UD-Q4_K_XL.gguf", "Q4_K_XL", "a-UD-Q4_K_XL.gguf", NULL},
	    /* None. */
	    {"a-Q2_K.gguf a-Q8_0.gguf mmproj-F16.gguf", "F16", NULL,
		"there is no quantization 'F16' in 'org/x'; there are Q2_K (11 "
		"B), Q8_0 (11 B)"},
	    {"a-Instruct.gguf", "Q8_0", NULL, "there is Instruct (15 B)"},
	    {"a.safetensors mmproj-F16.gguf", "", NULL,
		"no model in a GGUF file in 'org/x'"},
	    {"", "Q8_0", NULL, "no model in a GGUF file"},
	};

	for (size_t i = 0; i < countof(t); i++) {
		struct buf b = buf_make(4096);
		struct plan p;
		struct err e = {.kind = ERR_NONE};
		int rv;

		fill(&p, t[i].files);
		rv = gguf_choose(&p, t[i].quant, "org/x", &e);
		for (size_t k = 0; k < p.n; k++)
			buf_printf(
			    &b, "%s%s", k ? " " : "", p.file[k].file.path);
		CHECK_ROW(i, (rv == 0) == (t[i].chosen != NULL));
		if (t[i].chosen)
			CHECK_ROW(i, strcmp(buf_cstr(&b), t[i].chosen) == 0);
		else
			CHECK_ROW(i,
			    e.kind == ERR_ABSENT && strstr(e.msg, t[i].said));
		buf_release(&b);
		plan_release(&p);
	}
}

/* More quantizations than a sentence can hold. */
static void
test_long_list(void)
{
	struct plan p = {.file = NULL};
	struct err e;

	for (int i = 0; i < 300; i++) {
		char path[64];
		struct repo_file f = {.path = path, .size = 1};

		snprintf(path, sizeof(path), "model-%03d-Q8_0.gguf", i);
		plan_add(&p, &f);
	}
	CHECK(gguf_choose(&p, "F32", "org/x", &e) < 0);
	CHECK(
	    strstr(e.msg, ", ...") && strstr(e.hint, "hub ls org/x --quants"));
	plan_release(&p);
}

int
main(void)
{
	test_names();
	test_fits();
	test_choice();
	test_long_list();
	return test_end();
}
