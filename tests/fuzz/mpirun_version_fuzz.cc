// parse_mpirun_version(): whatever a program of that name prints.

#include "launcher/exec/mpirun_probe.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto identity =
      exec::parse_mpirun_version("/usr/bin/mpirun", std::string(fuzz::text_of(data, size)));
  if (!identity) {
    fuzz::require(!identity.error().hint.empty(), "a refusal has a hint");
    for (const char c : identity.error().message) {
      const auto byte = static_cast<unsigned char>(c);
      fuzz::require((byte >= 0x20 && byte != 0x7f) || c == '\t',
                    "a message has no control characters");
    }
    return 0;
  }
  fuzz::require(identity->major >= 0 && identity->minor >= 0, "versions are not negative");
  fuzz::require(!identity->version.empty(), "a version has a text");
  for (const char c : identity->version) {
    const auto byte = static_cast<unsigned char>(c);
    fuzz::require(byte > 0x20 && byte != 0x7f, "a version can be printed");
  }
  return 0;
}
