// parse_run(): a run.json of another version, of another user, or damaged.

#include "launcher/report/read_run.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto view = report::parse_run(fuzz::text_of(data, size));
  if (!view) {
    fuzz::require(!view.error().message.empty(), "an error says something");
    return 0;
  }
  static_cast<void>(view->is_unfinished());
  return 0;
}
