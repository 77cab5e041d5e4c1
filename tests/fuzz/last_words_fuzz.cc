// What the end of a failed rank's stderr is taken for.

#include "launcher/exec/last_words.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const std::string_view words = fuzz::text_of(data, size);
  if (const auto exception = exec::python_exception(words)) {
    fuzz::require(!exception->empty(), "an exception has a name");
    fuzz::require(exception->find('\n') == exception->npos, "and one line");
  }
  for (const auto& status : {ExitStatus::exited(1), ExitStatus::exited(127)}) {
    if (const auto library = exec::missing_library(words, status)) {
      fuzz::require(!library->text.empty(), "evidence says something");
    }
  }
  if (const auto room = exec::lack_of_room(words)) {
    fuzz::require(!room->text.empty(), "evidence says something");
  }
  return 0;
}
