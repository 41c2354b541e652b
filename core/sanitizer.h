// HEFT_ASAN: 1 under AddressSanitizer, which g++ and clang tell in ways of their own. Internal.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define HEFT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEFT_ASAN 1
#endif
#endif
#ifndef HEFT_ASAN
#define HEFT_ASAN 0
#endif
