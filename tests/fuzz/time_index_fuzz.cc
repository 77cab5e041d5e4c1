// TimeIndex: an index of another version, damaged, or cut.  An input is the file.

#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "collector/store/time_index.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

// Asks an index with these bytes everything that a reader asks.
void read_index(std::string_view bytes) {
  using namespace muster;
  const Fd file(::memfd_create("index", MFD_CLOEXEC));
  if (!file || !write_all(file, bytes)) std::abort();
  store::TimeIndex index("/proc/self/fd/" + std::to_string(file.get()));
  index.look();
  fuzz::require(index.size() <= bytes.size() / 16, "no more records than there is room for");
  for (std::uint64_t number = 0; number <= index.size(); ++number) {
    const auto record = index.at(number);
    fuzz::require(record.has_value() == (number < index.size()), "every record can be read");
    if (!record) continue;
    const auto found = index.find_offset(record->offset);
    fuzz::require(!found || *found < index.size(), "what is found is there");
    fuzz::require(index.find_time(record->time) <= index.size(), "what is found is there");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = muster::fuzz::text_of(data, size);
  read_index(bytes);
  return 0;
}
