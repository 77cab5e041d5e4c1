// ${{inputs.NAME}}, ${{outputs.NAME}} and $[[ optional words ]] in a text, as Azure ML's command
// jobs write them.  Pure: parsed here, checked against the config's names here, and filled in by
// launcher/plan, which knows the values.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace muster::config {

struct Expression {
  enum class Kind { kText, kInput, kOutput, kOptional };

  Kind kind = Kind::kText;
  std::string text = {};               // kText: as written; kInput, kOutput: the name
  std::size_t offset = 0;              // of its first byte in the whole text
  std::vector<Expression> parts = {};  // kOptional: what stands between the brackets
};

struct ExpressionProblem {
  std::size_t offset = 0;  // of the "${{" or "$[[" that it is about
  std::string why;
  std::string hint;
};

template <typename T>
using Expressed = tl::expected<T, ExpressionProblem>;

// "${{" somewhere; a text without it is what it is, also when it has "$[[" for the shell.
bool has_expression(std::string_view text);

// The text in its pieces, in order.  A "$[[ ]]" without a reference inside is plain text.
Expressed<std::vector<Expression>> parse_expressions(std::string_view text);

// The text with its "${{" as text, where nothing in it is a reference.
std::string without_references(std::string_view text);

// What the names stand for.  nullopt: declared, and without a value.
struct ReferenceValues {
  std::map<std::string, std::optional<std::string>> inputs = {};
  std::map<std::string, std::optional<std::string>> outputs = {};
};

// The text with its values in place: text for text, nothing is quoted.  An optional block is left
// out when an input or output in it has no value.
Expressed<std::string> substituted(std::string_view text, const ReferenceValues& values);

// Everything that keeps a text from being substituted, in its order.
std::vector<ExpressionProblem> reference_problems(std::string_view text,
                                                  const ReferenceValues& values);

}  // namespace muster::config
