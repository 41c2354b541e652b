// The TOML of heft train --config, and what a recipe that comes of it is written as: the same recipe.
#include "cli/config_file.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  using namespace heft;
  return test::refuse_or_read(count, [&](auto&) {
    train::Recipe recipe, again;
    cli::set_fields(cli::parse_config(std::string(bytes, bytes + count), "fuzz.toml").recipe, recipe);
    recipe = train::resolved(recipe);
    const std::string written = train::to_toml(train::fields_of(recipe));
    cli::set_fields(cli::parse_config(written, "written.toml").recipe, again);
    if (train::to_toml(train::fields_of(again)) != written) std::abort();
  });
}
