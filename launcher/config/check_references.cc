#include "launcher/config/check_references.h"

#include <algorithm>
#include <utility>

#include "launcher/config/expressions.h"

namespace muster::config {
namespace {

// Texts that only a start knows are no matter here: that there will be one is enough.
ReferenceValues declared(const RunConfig& config) {
  ReferenceValues values;
  for (const DataBinding& input : config.inputs) {
    const bool has_value = input.literal || input.path.value;
    values.inputs[input.name] = has_value ? std::optional<std::string>("") : std::nullopt;
  }
  for (const DataBinding& output : config.outputs) values.outputs[output.name] = "";
  return values;
}

// What stands at an offset: "${{ inputs.lr }}", "$[["; what a line of the file can be searched for.
std::string_view marker_at(std::string_view text, std::size_t offset) {
  const std::string_view rest = text.substr(offset);
  const std::size_t end = rest.find("}}");
  const std::size_t length = rest.starts_with("$[[") || end == std::string_view::npos ? 3 : end + 2;
  return rest.substr(0, std::min(length, rest.find('\n')));
}

std::size_t count_before(std::string_view text, std::string_view marker, std::size_t offset) {
  std::size_t count = 0;
  for (std::size_t at = text.find(marker); at < offset; at = text.find(marker, at + 1)) ++count;
  return count;
}

// The place of a marker: as many of its kind follow the begin of the value as in the text.  Quotes,
// folded lines and lists do not change that.
std::optional<Place> place_inside(const SourceText& source, Place begin, std::string_view text,
                                  std::size_t offset) {
  constexpr int kMostLines = 1000;
  const std::string_view marker = marker_at(text, offset);
  std::size_t to_skip = count_before(text, marker, offset);
  for (int number = begin.line; number < begin.line + kMostLines; ++number) {
    const std::string_view line = source.line(number);
    const std::size_t from = number == begin.line ? static_cast<std::size_t>(begin.column) - 1 : 0;
    for (std::size_t at = line.find(marker, from); at != std::string_view::npos;
         at = line.find(marker, at + 1)) {
      if (to_skip == 0) return Place{number, static_cast<int>(at) + 1};
      --to_skip;
    }
  }
  return std::nullopt;
}

Origin origin_inside(const Draft& draft, const TextWithReferences& text, std::size_t offset) {
  const auto& location = text.origin.location;
  if (!location || draft.source == nullptr || location->file != draft.source->file_name()) {
    return text.origin;
  }
  const auto place =
      place_inside(*draft.source, {location->line, location->column}, text.text, offset);
  return place ? draft.source->origin(*place) : text.origin;
}

}  // namespace

void check_references(Draft& draft) {
  const ReferenceValues values = declared(draft.config);
  for (const TextWithReferences& text : draft.references) {
    for (ExpressionProblem& problem : reference_problems(text.text, values)) {
      draft.problems.push_back(problem_at(origin_inside(draft, text, problem.offset), text.path,
                                          problem.why, std::move(problem.hint)));
    }
  }
}

}  // namespace muster::config
