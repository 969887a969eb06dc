/* JSON text. */

#include "json.h"
#include "tests/fuzz/fuzz.h"

/* What we write of a decoded string reads back as the same. */
static void
check_string(const struct json *v)
{
	struct buf text = buf_make(1 << 20), again = buf_make(1 << 20);
	struct json back;
	struct err e;

	if (json_string(v, &text) < 0) {
		MUST(json_strdup(v, 1 << 20) == NULL);
		goto out;
	}
	MUST(!text.full && text.len <= v->text.n);
	MUST(utf8_valid(buf_str(&text)));
	MUST(strlen(buf_cstr(&text)) == text.len);
	MUST(json_is(v, buf_cstr(&text)));
	json_put_string(&again, buf_str(&text));
	MUST(json_parse(buf_str(&again), &back, &e) == 0);
	MUST(json_is(&back, buf_cstr(&text)));
out:
	buf_release(&text);
	buf_release(&again);
}

static void
check_number(const struct json *v)
{
	uint64_t n = 0, same = 0;

	if (json_uint(v, UINT64_MAX, &n) < 0)
		return;
	MUST(v->text.s[0] != '-');
	MUST(json_uint(v, n, &same) == 0 && same == n);
	MUST(n == 0 || json_uint(v, n - 1, &same) < 0);
}

/* A member is found by its name exactly if no other one has it. */
static void
check_member(const struct json *object, const struct json *key)
{
	struct json_iter it = json_iter(object);
	struct json other, item, found;
	char *name = json_strdup(key, 1 << 20);
	size_t count = 0;

	if (!name)
		return;
	while (json_next(&it, &other, &item))
		count += json_is(&other, name);
	MUST(count > 0);
	MUST(json_get(object, name, &found) == (count == 1));
	free(name);
}

static void
walk(const struct json *v, unsigned depth)
{
	struct json_iter it = json_iter(v);
	struct json key, item, again;
	struct err e;

	MUST(depth <= JSON_DEPTH);
	MUST(json_parse(v->text, &again, &e) == 0 && again.type == v->type);
	MUST(again.text.s == v->text.s && again.text.n == v->text.n);
	if (v->type == JSON_STRING)
		check_string(v);
	else
		MUST(json_strdup(v, 1 << 20) == NULL);
	check_number(v);
	while (json_next(&it, &key, &item)) {
		MUST(v->type == JSON_OBJECT || v->type == JSON_ARRAY);
		MUST(fuzz_inside(item.text, v->text));
		MUST((key.type == JSON_STRING) == (v->type == JSON_OBJECT));
		if (key.type == JSON_STRING) {
			check_string(&key);
			if (v->text.n < 512)
				check_member(v, &key);
		}
		walk(&item, depth + 1);
	}
}

/* What has a closing character is nothing without it. */
static void
check_cuts(const struct json *v)
{
	struct json cut;
	struct err e;

	if (v->type < JSON_STRING || v->text.n > 256)
		return;
	for (size_t i = 0; i < v->text.n; i++) {
		char *copy = fuzz_copy(str_make(v->text.s, i));

		MUST(json_parse(str_make(copy, i), &cut, &e) < 0);
		free(copy);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = fuzz_str(p, n);
	struct buf quoted = buf_make(8 << 20);
	struct json v;
	struct err e;

	if (json_parse(text, &v, &e) < 0) {
		fuzz_failed(&e);
	} else {
		MUST(fuzz_inside(v.text, text) && utf8_valid(text));
		walk(&v, 0);
		check_cuts(&v);
	}
	/* Any bytes can be written as a string. */
	json_put_string(&quoted, text);
	MUST(json_parse(buf_str(&quoted), &v, &e) == 0);
	buf_release(&quoted);
	return 0;
}
