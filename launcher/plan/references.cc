#include "launcher/plan/references.h"

#include <optional>
#include <utility>

namespace muster::plan {
namespace {

using config::Origin;
using config::ReferenceValues;
using config::RunConfig;

// Fills texts in, and remembers the first that cannot be.  Reading the config has told all of them
// with their places; here it is for configs that nobody has read.
class Filler {
 public:
  explicit Filler(const ReferenceValues& values) : values_(values) {}

  void fill(std::string& text, const Origin& origin) {
    if (failed_ || !config::has_expression(text)) return;
    auto filled = config::substituted(text, values_);
    if (filled) {
      text = std::move(*filled);
    } else {
      failed_ = Error{ErrorCode::kConfig, filled.error().why, filled.error().hint, origin.location};
    }
  }

  const std::optional<Error>& failed() const { return failed_; }

 private:
  const ReferenceValues& values_;
  std::optional<Error> failed_;
};

}  // namespace

Result<RunConfig> with_references(const RunConfig& config, const ReferenceValues& values) {
  RunConfig filled = config;
  Filler filler(values);
  if (auto* command = std::get_if<config::ShellCommand>(&filled.run.value)) {
    filler.fill(command->text, filled.run.origin);
  }
  for (auto& [param, origin] : filled.script_params) {
    if (param.value) filler.fill(*param.value, origin);
    for (std::string& more : param.more_values) filler.fill(more, origin);
  }
  for (auto& [argument, origin] : filled.arguments) filler.fill(argument, origin);
  for (auto& [name, setting] : filled.environment_variables) {
    filler.fill(setting.value, setting.origin);
  }
  if (filler.failed()) return Failure(*filler.failed());
  return filled;
}

}  // namespace muster::plan
