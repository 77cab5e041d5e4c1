#include "launcher/config/expressions.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "launcher/config/dialects/words.h"
#include "launcher/config/problems.h"

namespace muster::config {
namespace {

using Kind = Expression::Kind;
using Expressions = std::vector<Expression>;

constexpr std::string_view kReference = "${{";
constexpr std::string_view kReferenceEnd = "}}";
constexpr std::string_view kOptional = "$[[";
constexpr std::string_view kOptionalEnd = "]]";
constexpr std::string_view kEscaped = "${{'${{'}}";  // stands for "${{"
constexpr int kDeepestBlock = 16;

tl::unexpected<ExpressionProblem> wrong(std::size_t offset, std::string why, std::string hint) {
  return tl::unexpected<ExpressionProblem>(
      ExpressionProblem{offset, std::move(why), std::move(hint)});
}

std::string reference(std::string_view words) {
  return "${{" + std::string(words) + "}}";
}

// Expressions of Azure ML that have a value only inside a pipeline or a sweep.
std::string unresolvable(std::string_view words) {
  if (words.starts_with("parent.")) {
    return printable(reference(words)) + " is a value of the pipeline that this job is a step of";
  }
  if (words.starts_with("search_space.")) {
    return printable(reference(words)) + " is a value that a sweep job chooses";
  }
  return {};
}

Expressed<Expression> parse_reference(std::string_view inside, std::size_t offset) {
  const std::string_view words = trimmed(inside);
  const std::string hint = "write ${{inputs.NAME}} or ${{outputs.NAME}}";
  if (words.empty()) return wrong(offset, "\"${{ }}\" names nothing", hint);
  if (std::string why = unresolvable(words); !why.empty()) {
    return wrong(offset, why, "muster runs one job: write the value itself in its place");
  }
  const std::size_t dot = words.find('.');
  const std::string scope(trimmed(words.substr(0, dot)));
  const std::string name(dot == std::string_view::npos ? "" : trimmed(words.substr(dot + 1)));
  if (scope != "inputs" && scope != "outputs") {
    const std::vector<std::string> scopes{"inputs", "outputs"};
    const auto meant = did_you_mean(scope, scopes);
    return wrong(offset, printable(reference(words)) + " is neither an input nor an output",
                 meant ? "did you mean " + printable(reference(*meant + "." + name)) + "?" : hint);
  }
  if (name.empty()) {
    return wrong(offset, printable(reference(words)) + " names nothing",
                 "write ${{" + scope + ".NAME}}");
  }
  const std::string plain = scope + "." + name;
  if (plain != words) {
    return wrong(offset, printable(reference(words)) + " has blanks beside its dot",
                 "did you mean " + printable(reference(plain)) + "?");
  }
  return Expression{scope == "inputs" ? Kind::kInput : Kind::kOutput, name, offset};
}

bool holds_reference(const Expressions& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const Expression& part) { return part.kind != Kind::kText; });
}

class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) : text_(text) {}

  // References that are wrong in themselves; the rest of the text is read all the same.
  const std::vector<ExpressionProblem>& problems() const { return problems_; }

  // Up to the end of the text, or inside a block up to and with its "]]".
  Expressed<Expressions> parse(std::optional<std::size_t> block, int depth) {
    Expressions parts;
    std::size_t plain = at_;  // where text begins that is not in parts yet
    while (at_ < text_.size()) {
      if (next_is(kEscaped)) {
        add_text(parts, plain);
        parts.push_back({Kind::kText, std::string(kReference), at_});
        plain = at_ += kEscaped.size();
      } else if (next_is(kReference)) {
        add_text(parts, plain);
        const std::size_t begin = at_;
        auto one = parse_one_reference();
        if (!one && at_ == begin) return tl::unexpected(std::move(one).error());
        if (one) {
          parts.push_back(std::move(*one));
        } else {  // where it ends is known, so that what follows can be read
          problems_.push_back(std::move(one).error());
        }
        plain = at_;
      } else if (next_is(kOptional)) {
        add_text(parts, plain);
        const std::size_t begin = at_;
        if (depth == kDeepestBlock) return wrong(begin, "\"$[[\" is nested too deeply", "");
        at_ += kOptional.size();
        auto inner = parse(begin, depth + 1);
        if (!inner) return inner;
        add_block(parts, begin, std::move(*inner));
        plain = at_;
      } else if (block && next_is(kOptionalEnd)) {
        add_text(parts, plain);
        at_ += kOptionalEnd.size();
        closed_ = true;
        return parts;
      } else {
        ++at_;
      }
    }
    add_text(parts, plain);
    closed_ = false;
    if (block && holds_reference(parts)) {
      return wrong(*block, "\"$[[\" is never closed", "write ]] after the words that it encloses");
    }
    return parts;
  }

 private:
  bool next_is(std::string_view marker) const { return text_.substr(at_).starts_with(marker); }

  void add_text(Expressions& parts, std::size_t from) const {
    if (from == at_) return;
    parts.push_back({Kind::kText, std::string(text_.substr(from, at_ - from)), from});
  }

  void add_block(Expressions& parts, std::size_t begin, Expressions inner) const {
    if (holds_reference(inner)) {
      parts.push_back({Kind::kOptional, "", begin, std::move(inner)});
    } else {
      // The shell's: its text as written, but for what is escaped in it.
      std::string text(kOptional);
      for (const Expression& part : inner) text += part.text;
      if (closed_) text += kOptionalEnd;
      parts.push_back({Kind::kText, std::move(text), begin});
    }
  }

  Expressed<Expression> parse_one_reference() {
    const std::size_t begin = at_;
    const std::size_t inside = begin + kReference.size();
    const std::size_t end = text_.find(kReferenceEnd, inside);
    const std::size_t next = text_.find(kReference, inside);
    if (end == std::string_view::npos || next < end) {
      return wrong(begin, "\"${{\" is never closed", "write }} after the name");
    }
    at_ = end + kReferenceEnd.size();
    return parse_reference(text_.substr(inside, end - inside), begin);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool closed_ = false;  // the block that was read last
  std::vector<ExpressionProblem> problems_ = {};
};

Expressed<std::optional<std::string>> value_of(const Expression& part,
                                               const ReferenceValues& values) {
  const bool input = part.kind == Kind::kInput;
  const auto& known = input ? values.inputs : values.outputs;
  const auto& others = input ? values.outputs : values.inputs;
  if (const auto found = known.find(part.text); found != known.end()) return found->second;
  const std::string what = input ? "input" : "output";
  const std::string why = "there is no " + what + " " + in_quotes(part.text);
  if (others.contains(part.text)) {
    return wrong(part.offset, why,
                 "it is an " + std::string(input ? "output" : "input") + ": write " +
                     printable(reference((input ? "outputs." : "inputs.") + part.text)));
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : known) names.push_back(name);
  std::string hint = did_you_mean_hint(part.text, names);
  if (hint.empty()) {
    hint = "add it below " + what + "s";
    if (!names.empty()) hint += "; there are " + join(names, ", ");
  }
  return wrong(part.offset, why, hint);
}

ExpressionProblem has_no_value(const Expression& missing) {
  const std::string what = missing.kind == Kind::kInput ? "input " : "output ";
  return {missing.offset, what + in_quotes(missing.text) + " has no value",
          "give it one, or put the words that need it between $[[ and ]]"};
}

void collect_problems(const Expressions& parts, const ReferenceValues& values, bool optional,
                      std::vector<ExpressionProblem>& problems) {
  for (const Expression& part : parts) {
    if (part.kind == Kind::kOptional) {
      collect_problems(part.parts, values, true, problems);
    } else if (part.kind != Kind::kText) {
      const auto value = value_of(part, values);
      if (!value) {
        problems.push_back(value.error());
      } else if (!*value && !optional) {
        problems.push_back(has_no_value(part));
      }
    }
  }
}

// nullopt: something in it has no value, and `missing` is where.
Expressed<std::optional<std::string>> filled(const Expressions& parts,
                                             const ReferenceValues& values,
                                             const Expression*& missing) {
  std::string text;
  const Expression* first_missing = nullptr;
  for (const Expression& part : parts) {
    if (part.kind == Kind::kText) {
      text += part.text;
    } else if (part.kind == Kind::kOptional) {
      const Expression* unused = nullptr;
      auto inner = filled(part.parts, values, unused);
      if (!inner) return inner;
      text += inner->value_or("");
    } else {
      auto value = value_of(part, values);
      if (!value) return value;
      if (!*value && first_missing == nullptr) first_missing = &part;
      text += value->value_or("");
    }
  }
  missing = first_missing;
  if (first_missing != nullptr) return std::nullopt;
  return text;
}

}  // namespace

bool has_expression(std::string_view text) {
  return text.find(kReference) != std::string_view::npos;
}

Expressed<std::vector<Expression>> parse_expressions(std::string_view text) {
  if (text.empty()) return Expressions{};
  if (!has_expression(text)) return Expressions{{Kind::kText, std::string(text), 0}};
  ExpressionParser parser(text);
  auto parts = parser.parse(std::nullopt, 0);
  if (!parser.problems().empty()) return tl::unexpected(parser.problems().front());
  return parts;
}

std::string without_references(std::string_view text) {
  std::string plain;
  for (std::size_t at = text.find(kReference); at != std::string_view::npos;
       at = text.find(kReference)) {
    plain += text.substr(0, at);
    plain += kEscaped;
    text.remove_prefix(at + kReference.size());
  }
  return plain + std::string(text);
}

Expressed<std::string> substituted(std::string_view text, const ReferenceValues& values) {
  auto parts = parse_expressions(text);
  if (!parts) return tl::unexpected(std::move(parts).error());
  const Expression* missing = nullptr;
  auto whole = filled(*parts, values, missing);
  if (!whole) return tl::unexpected(std::move(whole).error());
  if (*whole) return std::move(**whole);
  return tl::unexpected(has_no_value(*missing));
}

std::vector<ExpressionProblem> reference_problems(std::string_view text,
                                                  const ReferenceValues& values) {
  if (!has_expression(text)) return {};
  ExpressionParser parser(text);
  const auto parts = parser.parse(std::nullopt, 0);
  std::vector<ExpressionProblem> problems = parser.problems();
  if (parts) {
    collect_problems(*parts, values, false, problems);
  } else {
    problems.push_back(parts.error());
  }
  std::stable_sort(problems.begin(), problems.end(),
                   [](const auto& a, const auto& b) { return a.offset < b.offset; });
  return problems;
}

}  // namespace muster::config
