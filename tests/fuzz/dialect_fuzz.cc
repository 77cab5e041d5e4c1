// read_config() over every dialect, and back: an input is a config, below a line "%%" the text of
// whatever file it names beside itself, below a second one the dialect that is forced.
//
// What resolves is written in the native form and must read back to the same settings.

#include "base/error_text.h"
#include "launcher/config/read_config.h"
#include "launcher/config/write_native.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace muster;
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
  require(is_safe_to_print(format_error(error)), "a message has no control characters");
}

// The settings without their origins: each row's first two columns, of the text table.
std::string values_of(const config::RunConfig& config) {
  std::string json = config::describe_json(config);
  std::string values;
  for (std::size_t at = 0; at < json.size();) {
    const std::size_t end = std::min(json.find('\n', at), json.size());
    const std::string line = json.substr(at, end - at);
    at = end + 1;
    if (line.find("\"remarks\": [") != std::string::npos) break;
    const bool place = line.find("\"origin\": ") != std::string::npos ||
                       line.starts_with("  \"file\"") || line.starts_with("  \"dialect\"") ||
                       line.starts_with("  \"recognised_by\"");
    if (!place) values += line + "\n";
  }
  while (!values.empty() && std::string_view("}],\n ").find(values.back()) != std::string::npos) {
    values.pop_back();
  }
  return values;
}

void check_native(const config::RunConfig& config) {
  const std::string native = config::native_yaml(config);
  const auto again = config::read_config(native, "native.yaml", "/project", {},
                                         {.dialect = config::Dialect::kNative});
  require(again.has_value(), "the native form is read");
  if (!again) return;
  require(values_of(*again) == values_of(config), "the native form says the same");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size));
  config::Reading reading;
  reading.read_beside = [&](const std::string& path) -> Result<std::string> {
    if (parts.size() < 2 || path.find("..") != std::string::npos) {
      return fail(ErrorCode::kConfig, "it does not exist");
    }
    return std::string(parts[1]);
  };
  if (parts.size() > 2) {
    const std::string_view word = std::string_view(parts[2]).substr(0, parts[2].find('\n'));
    reading.dialect = config::dialect_of_word(word);
  }
  const auto config =
      config::read_config(parts[0], "train.runconfig", "/project/.azureml", {}, reading);
  static_cast<void>(config::look_at(parts[0]));
  if (!config) {
    require(!config.error().empty(), "no refusal without a reason");
    for (const Error& problem : config.error()) check_message(problem);
    return 0;
  }
  require(is_safe_to_print(config::describe_text(*config)), "a config is shown safely");
  require(!config::describe_json(*config).empty(), "a config is shown as JSON");
  static_cast<void>(config::script_arguments(*config));
  check_native(*config);
  return 0;
}
