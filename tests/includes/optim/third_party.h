// Planted for includes.planted_violations: a public header with a third party's type.
#include <fmt/format.h>
