// read_config() and what is shown of its result.  An input is a config; each line below a line "%%"
// is what stands behind one --set.

#include "base/error_text.h"
#include "base/text.h"
#include "launcher/config/read_config.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using muster::Error;
using muster::fuzz::require;

bool is_safe_to_print(const std::string& text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) return false;
  }
  return true;
}

void check_message(const Error& error) {
  require(!error.message.empty(), "an error says something");
  require(error.message.find('\n') == std::string::npos, "a message is one line");
  require(is_safe_to_print(muster::format_error(error)), "a message has no control characters");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size));
  std::vector<config::Override> overrides;
  if (parts.size() > 1) {
    for (const std::string& words : split(parts[1], '\n')) {
      auto parsed = config::parse_set(words);
      if (parsed) {
        overrides.push_back(std::move(*parsed));
      } else {
        check_message(parsed.error());
      }
    }
  }
  const auto config = config::read_config(parts[0], "run.yaml", "/configs", overrides);
  if (!config) {
    require(!config.error().empty(), "no refusal without a reason");
    for (const Error& problem : config.error()) check_message(problem);
    return 0;
  }
  require(is_safe_to_print(config::describe_text(*config)), "a config is shown safely");
  require(!config::describe_json(*config).empty(), "a config is shown as JSON");
  static_cast<void>(config::script_arguments(*config));
  return 0;
}
