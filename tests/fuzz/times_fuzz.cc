// parse_time() and parse_span(): what stands behind --since.

#include "base/text.h"
#include "base/time_text.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const std::string_view text = fuzz::text_of(data, size);
  if (const auto time = parse_time(text)) {
    const auto again = parse_time(format_utc(*time));
    fuzz::require(again.has_value(), "a time that was read can be written and read");
    fuzz::require(*again <= *time && *time - *again < std::chrono::microseconds(1),
                  "and stays the same, to the microsecond");
  }
  if (const auto span = parse_span(text)) {
    fuzz::require(span->count() >= 0, "a span is not negative");
  }
  return 0;
}
