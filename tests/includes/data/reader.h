// Planted for includes.planted_violations. Internal: may use a third party's.
#include <zlib.h>
