// last_lines(): the end of a stored stream.  The first two bytes of an input are the number of
// lines and the bytes that are looked at.

#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "launcher/report/last_lines.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  if (size < 2) return 0;
  const Fd file(::memfd_create("stream", MFD_CLOEXEC));
  const std::string_view bytes = fuzz::text_of(data, size).substr(2);
  if (!file || !write_all(file, bytes)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  const auto lines = report::last_lines(path, data[0], data[1]);
  fuzz::require(lines.size() <= data[0], "no more lines than asked for");
  for (const std::string& line : lines) {
    for (const char c : line) {
      const auto byte = static_cast<unsigned char>(c);
      fuzz::require((byte >= 0x20 && byte != 0x7f) || c == '\t', "no control character");
    }
  }
  return 0;
}
