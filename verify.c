#include "verify.h"
#include "err.h"
int verify(const struct options *o, const struct config *c, struct output *out,
    struct err *e)
{ (void)o;(void)c;(void)out; return err_set(e, ERR_OTHER, "not yet"); }
