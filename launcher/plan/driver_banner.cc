#include "launcher/plan/driver_banner.h"

#include <algorithm>

#include "base/text.h"

namespace muster::plan {
namespace {

// As Python's repr() writes a text.
std::string python_quoted(const std::string& text) {
  const char quote =
      text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string quoted(1, quote);
  for (const char c : text) {
    switch (c) {
      case '\n': quoted += "\\n"; break;
      case '\r': quoted += "\\r"; break;
      case '\t': quoted += "\\t"; break;
      default:
        if (c == quote || c == '\\') quoted += '\\';
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          constexpr char kDigits[] = "0123456789abcdef";
          quoted += {'\\', 'x', kDigits[(c >> 4) & 15], kDigits[c & 15]};
        } else {
          quoted += c;
        }
    }
  }
  return quoted + quote;
}

std::string call_of(const std::vector<std::string>& argv, std::size_t script) {
  std::vector<std::string> arguments;
  for (std::size_t i = script + 1; i < argv.size(); ++i) {
    arguments.push_back(python_quoted(argv[i]));
  }
  return "[ " + argv[script] + " ] with arguments: [" + join(arguments, ", ") + "]\n";
}

}  // namespace

DriverSentences driver_sentences_of(std::string_view dialect) {
  if (dialect.starts_with("Azure ML v2")) return DriverSentences::kV2;
  return dialect.starts_with("Azure ML") ? DriverSentences::kV1 : DriverSentences::kNone;
}

std::string driver_banner(const LaunchPlan& plan, const std::vector<std::string>& argv) {
  if (plan.driver_sentences != DriverSentences::kV1) return "";
  std::string text = "Entering context manager injector.\n";
  const auto script = static_cast<std::size_t>(plan.script_word);
  if (plan.script_word >= 0 && script < std::min(plan.argv.size(), argv.size())) {
    text += "Preparing to call script " + call_of(plan.argv, script);
    text += "After variable expansion, calling script " + call_of(argv, script);
  }
  return text + "\n";
}

std::string driver_epilogue(DriverSentences sentences, const RankOutcome& rank) {
  const bool started = rank.end == RankEnd::kExited || rank.end == RankEnd::kStopped;
  if (!started || !rank.status.ok()) {
    const std::string how = started ? rank.status.describe() : rank.exec_failure;
    return "\nmuster: rank " + std::to_string(rank.rank) + " " +
           (how.empty() ? "did not end by itself" : how) + "\n";
  }
  switch (sentences) {
    case DriverSentences::kV1:
      return "\n\nThe experiment completed successfully. Finalizing run...\n";
    case DriverSentences::kV2:
      return "\n\nThe activity completed successfully. Finalizing run...\n";
    case DriverSentences::kNone: break;
  }
  return "";
}

}  // namespace muster::plan
