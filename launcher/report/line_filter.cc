#include "launcher/report/line_filter.h"

#include <re2/re2.h>

#include "base/text.h"

namespace muster::report {
namespace {

RE2::Options options_of_search() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_encoding(RE2::Options::EncodingUTF8);
  return options;
}

// "\x1b[1;31m" and the like, which are all that a shown line has of escapes.
std::string without_colors(std::string_view text) {
  std::string plain;
  for (std::size_t escape; (escape = text.find('\x1b')) != text.npos;) {
    plain += text.substr(0, escape);
    const std::size_t end = text.find('m', escape);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return plain.append(text);
}

}  // namespace

struct LineFilter::Compiled {
  explicit Compiled(const std::string& pattern) : expression(pattern, options_of_search()) {}
  RE2 expression;
};

Result<LineFilter> LineFilter::create(const std::string& pattern) {
  auto compiled = std::make_shared<const Compiled>(pattern);
  const RE2& expression = compiled->expression;
  if (expression.ok()) return LineFilter(std::move(compiled));
  // RE2 names the part that it does not understand.
  const std::string& part = expression.error_arg();
  const std::size_t at = part.empty() ? std::string::npos : pattern.find(part);
  std::string why = expression.error().substr(0, expression.error().find(": "));
  if (at != std::string::npos) {
    why += " at character " + std::to_string(at + 1) + ", \"" + without_controls(part) + "\"";
  }
  return fail(ErrorCode::kUsage,
              "\"" + without_controls(pattern) + "\" is no regular expression: " + why,
              "write \\ before characters that stand for themselves: \\( \\[ \\+; the syntax is "
              "RE2's");
}

bool LineFilter::matches(std::string_view shown) const {
  if (shown.find('\x1b') == shown.npos)
    return RE2::PartialMatch({shown.data(), shown.size()}, compiled_->expression);
  return RE2::PartialMatch(without_colors(shown), compiled_->expression);
}

}  // namespace muster::report
