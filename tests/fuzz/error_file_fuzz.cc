// parse_error_file(): what a training program left in its TORCHELASTIC_ERROR_FILE.

#include "launcher/exec/error_file.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(muster::exec::parse_error_file(muster::fuzz::text_of(data, size)));
  return 0;
}
